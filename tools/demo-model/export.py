"""Stage 5: the trained parts as a diffusers folder in f16."""
import json
import os

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

import text
import tokens
import unet
import vae
from common import save

# What `encaustic` takes where its user says nothing.
STEPS, CFG = 25, 3.0


def save_half(model, folder, config, file):
    """Weights in f16 with the library's own configuration file, less what names a version or a place."""
    os.makedirs(folder, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, f"{folder}/{file}", metadata={"format": "pt"})
    config = {k: v for k, v in config.items() if not k.startswith("_") or k == "_class_name"}
    for noise in ("transformers_version", "dtype", "torch_dtype"):
        config.pop(noise, None)
    with open(f"{folder}/config.json", "w") as f:
        f.write(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write(run, out):
    denoiser, scale = unet.trained(run)
    autoencoder = vae.trained(run)
    vocab, pairs, _, encoder = text.trained(run)
    save_half(denoiser, f"{out}/unet", dict(denoiser.config, _class_name="UNet2DConditionModel"), "diffusion_pytorch_model.safetensors")
    save_half(autoencoder, f"{out}/vae", dict(autoencoder.config, _class_name="AutoencoderKL", scaling_factor=scale), "diffusion_pytorch_model.safetensors")
    save_half(encoder, f"{out}/text_encoder", dict(encoder.config.to_dict(), architectures=["CLIPTextModel"]), "model.safetensors")
    tokens.save(f"{out}/tokenizer", vocab, pairs)
    DDIMScheduler(**unet.SCHEDULER).save_pretrained(f"{out}/scheduler")
    index = dict(_class_name="StableDiffusionPipeline", feature_extractor=[None, None], image_encoder=[None, None], requires_safety_checker=False,
                 safety_checker=[None, None], scheduler=["diffusers", "DDIMScheduler"], text_encoder=["transformers", "CLIPTextModel"],
                 tokenizer=["transformers", "CLIPTokenizer"], unet=["diffusers", "UNet2DConditionModel"], vae=["diffusers", "AutoencoderKL"])
    with open(f"{out}/model_index.json", "w") as f:
        f.write(json.dumps(index, indent=2) + "\n")
    with open(f"{out}/encaustic.json", "w") as f:
        f.write(json.dumps(dict(steps=STEPS, cfg=CFG)) + "\n")


def unpack(folder, run):
    """The reverse of `write`: checkpoints that further training begins from, unless `run` has its own already."""
    if os.path.exists(f"{run}/unet.pt"):
        return
    model = Folder(folder)
    with open(f"{folder}/tokenizer/merges.txt") as f:
        pairs = [tuple(line.split(" ")) for line in f.read().splitlines()[1:]]
    save(f"{run}/vae.pt", ema=model.vae.state_dict())
    save(f"{run}/text.pt", vocab=model.vocab, pairs=pairs, ema={f"model.{k}": v for k, v in model.text.state_dict().items()})
    learner = unet.Learner()
    learner.unet.load_state_dict(model.unet.state_dict())
    save(f"{run}/unet.pt", model=learner.state_dict(), ema=learner.state_dict(), step=0, scale=model.vae.config.scaling_factor)


class Folder:
    """An exported folder, read back: prompts in, pictures out, with diffusers' own parts."""

    def __init__(self, path):
        def part(cls, name):
            with open(f"{path}/{name}/config.json") as f:
                model = cls.from_config({k: v for k, v in json.load(f).items()})
            model.load_state_dict({k: v.float() for k, v in load_file(f"{path}/{name}/diffusion_pytorch_model.safetensors").items()})
            return model.eval().requires_grad_(False)

        self.unet, self.vae = part(UNet2DConditionModel, "unet"), part(AutoencoderKL, "vae")
        with open(f"{path}/tokenizer/vocab.json") as f:
            self.vocab = json.load(f)
        with open(f"{path}/tokenizer/merges.txt") as f:
            pairs = [tuple(line.split(" ")) for line in f.read().splitlines()[1:]]
        self.tokenizer = tokens.encoder(self.vocab, pairs)
        self.text = text.new_model(self.vocab)
        self.text.load_state_dict({k: v.float() for k, v in load_file(f"{path}/text_encoder/model.safetensors").items()})
        self.text.eval()
        with open(f"{path}/scheduler/scheduler_config.json") as f:
            self.scheduler = json.load(f)

    @torch.no_grad()
    def pictures(self, prompts, seed, steps=STEPS, cfg=CFG):
        """u8 [n, 128, 128, 3]."""
        scheduler = DDIMScheduler.from_config(self.scheduler)
        scheduler.set_timesteps(steps)
        rows, _ = tokens.encode(self.tokenizer, self.vocab, [*prompts, *[""] * len(prompts)])
        words = self.text(input_ids=torch.tensor(rows)).last_hidden_state
        x = torch.randn(len(prompts), 4, 16, 16, generator=torch.Generator().manual_seed(seed))
        for t in scheduler.timesteps:
            cond, uncond = self.unet(torch.cat([x, x]), t, words).sample.chunk(2)
            x = scheduler.step(uncond + cfg * (cond - uncond), t, x).prev_sample
        image = self.vae.decode(x / self.vae.config.scaling_factor).sample
        return ((image / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
