"""Tiny random networks with the structure of the real families, and the folders that diffusers reads them from."""
import copy
import json
import pathlib
import shutil

import diffusers
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from . import tokenizer
from .common import deviation, randn, randomise, rescale

SEED = "0"
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
TEXT_2 = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 3}
GROUPS = 4

UNET = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "norm_num_groups": GROUPS, "act_fn": "silu", "norm_eps": 1e-5,
    "cross_attention_dim": TEXT["hidden_size"], "center_input_sample": False, "downsample_padding": 1,
    "flip_sin_to_cos": True, "freq_shift": 0, "mid_block_scale_factor": 1,
}


def cross_attention_blocks(levels):
    """The block types of SD 1 and 2: cross-attention everywhere but at the smallest size."""
    return {"down_block_types": ("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1)}


# what differs from UNET, by the name that also seeds the weights
UNETS = {
    "sd15": {"block_out_channels": (8, 16, 32), "layers_per_block": 2, "attention_head_dim": 2, **cross_attention_blocks(3)},
    "sd2": {"block_out_channels": (8, 32), "layers_per_block": 1, "attention_head_dim": [2, 4],
            "use_linear_projection": True, **cross_attention_blocks(2)},
    "sdxl": {"block_out_channels": (8, 16, 16), "layers_per_block": 1, "attention_head_dim": [1, 2, 4],
             "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
             "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
             "use_linear_projection": True, "transformer_layers_per_block": [1, 1, 2],
             "cross_attention_dim": TEXT["hidden_size"] + TEXT_2["hidden_size"], "addition_embed_type": "text_time",
             "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 6 * 8 + TEXT_2["hidden_size"]},
    "small": {"block_out_channels": (8, 16), "layers_per_block": 1, "attention_head_dim": 2, **cross_attention_blocks(2)},
}


def text_encoder(kind, vocab_size):
    """`sd15`, `sd2`, `sdxl1` (CLIP-L's place) or `te2` (SDXL's second, with a projection)."""
    sizes = TEXT_2 if kind == "te2" else TEXT
    has_projection = kind == "te2"
    # SD 1.5 and SDXL ship the legacy eos_token_id 2, which pools at the largest id; SD 2 has the real one
    is_modern = kind == "sd2"
    config = CLIPTextConfig(
        vocab_size=vocab_size, max_position_embeddings=77, layer_norm_eps=1e-5, pad_token_id=1,
        hidden_act="quick_gelu" if kind in ("sd15", "sdxl1") else "gelu",
        projection_dim=sizes["hidden_size"] if has_projection else 512,
        bos_token_id=vocab_size - 2 if is_modern else 0, eos_token_id=vocab_size - 1 if is_modern else 2, **sizes)
    model = (CLIPTextModelWithProjection if has_projection else CLIPTextModel)(config)
    return randomise(model, f"{SEED}/te/{kind}")


def unet(kind, seed=SEED, **overrides):
    config = {**UNET, **UNETS[kind], **overrides}
    seed_name = "aux" if kind == "small" else kind
    model = randomise(UNet2DConditionModel(**config), f"{seed}/unet/{seed_name}")
    extra = {}
    if kind == "sdxl":
        extra["added_cond_kwargs"] = {"text_embeds": randn(2, 1, TEXT_2["hidden_size"]),
                                      "time_ids": torch.tensor([[64.0, 96, 0, 0, 64, 96]])}
    inputs = randn(1, 1, config["in_channels"], 8, 8), randn(3, 1, 77, config["cross_attention_dim"]), extra
    # predicted noise of about the size of real noise, so that pipelines neither explode nor freeze
    factor = 0.7 / deviation(lambda m, x, context, more: m(x, 500, context, **more).sample, model, *inputs)
    rescale(model.conv_out.weight, factor)
    rescale(model.conv_out.bias, factor)
    return model


def vae(seed=SEED, **overrides):
    config = {
        "in_channels": 3, "out_channels": 3, "block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "act_fn": "silu",
        "norm_num_groups": GROUPS, "latent_channels": 4, "sample_size": 64, "scaling_factor": 0.18215,
        "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4, **overrides}
    model = randomise(AutoencoderKL(**config), f"{seed}/vae", sharpness=1.0)
    decoded = deviation(lambda m, z: m.decode(z).sample, model, randn(5, 1, 4, 8, 8) * 4)
    rescale(model.decoder.conv_out.weight, 0.5 / decoded)
    model.decoder.conv_out.bias.data.zero_()
    # latents with a deviation of about 4, as Stable Diffusion's have before scaling
    encoded = deviation(lambda m, x: m.encode(x).latent_dist.mean, model, randn(6, 1, 3, 64, 64).clamp(-1, 1))
    rescale(model.quant_conv.weight, 4.0 / encoded)
    model.quant_conv.weight.data[4:] = (model.quant_conv.weight.data[4:] * 0.25).half().float()
    return model


def tiny_vae():
    model = AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
                            num_encoder_blocks=(1, 2, 2, 2), num_decoder_blocks=(2, 2, 2, 1))
    randomise(model, f"{SEED}/taesd")
    for name, parameter in model.named_parameters():
        if ".conv." in name and name.endswith("weight") and parameter.ndim == 4:
            rescale(parameter, 0.7)  # residual blocks: keep the activations bounded
    return model


def save_half(model, folder):
    """Writes a component in f16, with the names that published checkpoints have."""
    folder = pathlib.Path(folder)
    half = copy.deepcopy(model).half()
    half.save_pretrained(folder)
    if not isinstance(half, (CLIPTextModel, CLIPTextModelWithProjection)):
        return
    # transformers 5 drops the prefix `text_model.`, and calls the type `dtype`
    file, config_file = folder / "model.safetensors", folder / "config.json"
    known = ("text_model.", "text_projection.")
    tensors = {(k if k.startswith(known) else f"text_model.{k}"): v for k, v in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config.pop("dtype", None)
    config["torch_dtype"] = "float16"
    config_file.write_text(json.dumps(config, indent=2), encoding="utf-8")


def save_pipeline(folder, pipeline_class, unet_, vae_, text_encoders, scheduler, bpe, pads, **facts):
    """Writes a diffusers folder and returns its path."""
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_half(unet_, folder / "unet")
    save_half(vae_, folder / "vae")
    scheduler.save_pretrained(folder / "scheduler")
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
             "scheduler": ["diffusers", type(scheduler).__name__]}
    for suffix, model, pad in zip(("", "_2"), text_encoders, pads):
        save_half(model, folder / f"text_encoder{suffix}")
        tokenizer.save(folder / f"tokenizer{suffix}", *bpe, pad)
        parts[f"text_encoder{suffix}"] = ["transformers", type(model).__name__]
        parts[f"tokenizer{suffix}"] = ["transformers", "CLIPTokenizer"]
    if not pipeline_class.__name__.startswith("StableDiffusionXL"):
        parts |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
        facts.setdefault("requires_safety_checker", False)
    index = {"_class_name": pipeline_class.__name__, "_diffusers_version": diffusers.__version__, **facts, **parts}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    return folder


def load_pipeline(pipeline_class, folder, **parts):
    pipeline = pipeline_class.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True, **parts)
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.float().eval()
    return pipeline
