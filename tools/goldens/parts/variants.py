"""Other ways of running the networks of `models/sd15` and `models/taesd`, which must exist: in tiles, with a ControlNet's residuals, and
from the files of TAESD's author."""
import pathlib

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from .common import LATENT, Golden, randn, rounding_noise


def make_vae_tiling(out):
    """Tiles of sample_size (64 points) that start every 48, so that none of the last ones is whole."""
    golden = Golden(out, "vae_tiling")
    model = AutoencoderKL.from_pretrained(f"{out}/models/sd15/vae", torch_dtype=torch.float32).eval()
    model.enable_tiling()
    image, latent = randn(81, 1, 3, 96, 160).clamp(-1, 1), randn(82, 1, 4, 12, 20) * 4
    encoded = model.encode(image).latent_dist
    tensors = {"image": image, "mean": encoded.mean, "logvar": encoded.logvar, "latent": latent, "decoded": model.decode(latent).sample}
    for name, tensor in tensors.items():
        golden.put(name, tensor)
    golden.case("vae_tiling", model="models/sd15/vae", overlap=model.tile_overlap_factor, tile=model.tile_sample_min_size,
                fp64_noise_encode=rounding_noise(lambda m, a: m.encode(a).latent_dist.mean, model, image),
                fp64_noise_decode=rounding_noise(lambda m, a: m.decode(a).sample, model, latent))
    golden.save()


def make_control(out):
    """The UNet of SD 1.5 with random residuals such as a ControlNet would give."""
    golden = Golden(out, "control")
    model = UNet2DConditionModel.from_pretrained(f"{out}/models/sd15/unet", torch_dtype=torch.float32).eval()
    _, channels, height, width = LATENT
    x, context = randn(21, 2, channels, height, width), randn(22, 2, 77, model.config.cross_attention_dim)
    sizes = []
    hook = model.mid_block.register_forward_hook(lambda _m, _i, y: sizes.append(y.shape))
    skips = [b.register_forward_hook(lambda _m, _i, y: sizes.extend(r.shape for r in y[1])) for b in model.down_blocks]
    model(x, 981, context)
    for each in [hook, *skips]:
        each.remove()
    sizes = [(2, model.config.block_out_channels[0], height, width), *sizes]
    residuals = [0.5 * randn(90 + i, *size) for i, size in enumerate(sizes)]

    def compute(m, x, context, *residuals):
        return m(x, 981, context, down_block_additional_residuals=list(residuals[:-1]), mid_block_additional_residual=residuals[-1]).sample

    golden.put("x", x)
    golden.put("ctx", context)
    for i, residual in enumerate(residuals[:-1]):
        golden.put(f"down.{i}", residual)
    golden.put("mid", residuals[-1])
    golden.put("out_t981", compute(model, x, context, *residuals))
    golden.case("control", model="models/sd15/unet", fp64_noise=rounding_noise(compute, model, x, context, *residuals))
    golden.save()


def make_taesd_original(out):
    """The two halves of `models/taesd` as its author writes them: layers numbered from 0, a clamp before the decoder's first."""
    weights = load_file(f"{out}/models/taesd/diffusion_pytorch_model.safetensors")
    folder = pathlib.Path(out) / "files"
    folder.mkdir(parents=True, exist_ok=True)
    for half, shift in (("encoder", 0), ("decoder", 1)):
        renamed = {}
        for name, tensor in weights.items():
            if name.startswith(f"{half}.layers."):
                number, rest = name.removeprefix(f"{half}.layers.").split(".", 1)
                renamed[f"{int(number) + shift}.{rest}"] = tensor.contiguous()
        save_file(renamed, folder / f"taesd_{half}.safetensors")
