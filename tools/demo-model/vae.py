"""Stage 1: the autoencoder. 128 x 128 pixels to 16 x 16 x 4 latents and back."""
import numpy as np
import torch
from diffusers import AutoencoderKL

import scenes
from common import DEVICE, Average, Log, Optimiser, load, resume, save

CONFIG = dict(
    block_out_channels=(16, 16, 32, 64), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    layers_per_block=1, latent_channels=4, norm_num_groups=8, sample_size=128, mid_block_add_attention=False,
)
KL = 1e-3


def pictures(rng, n, crop):
    out = []
    for _ in range(n):
        scene = scenes.sample(rng)
        image = scenes.render(scene, rng)[0]
        if crop < scenes.SIZE:  # around a thing: plain background teaches little
            t = scene.things[rng.integers(len(scene.things))]
            x, y = (int(np.clip(c + rng.normal() * t.r * 0.7 - crop / 2, 0, scenes.SIZE - crop)) for c in (t.x, t.y))
            image = image[y:y + crop, x:x + crop]
        out.append(image)
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 127.5 - 1


def edges(x):
    return x[..., 1:, 1:] - x[..., :-1, 1:], x[..., 1:, 1:] - x[..., 1:, :-1]


def loss(model, x, noise):
    dist = model.encode(x).latent_dist
    z = dist.mean + dist.std * noise
    y = model.decode(z).sample
    kl = 0.5 * (dist.mean ** 2 + dist.var - 1 - dist.logvar).mean()
    sharp = sum((a - b).abs().mean() for a, b in zip(edges(x), edges(y)))
    mse = (x - y).pow(2).mean()
    return (x - y).abs().mean() + 2.0 * mse + sharp + KL * kl, mse


def train(folder, steps, seed=1):
    """`steps` batches of equal pixel count: crops first, whole pictures in the last quarter."""
    log, path = Log("vae"), f"{folder}/vae.pt"
    torch.manual_seed(seed)
    model = AutoencoderKL(**CONFIG).to(DEVICE)
    opt, ema, start = Optimiser(model, 0.01, 2e-3), Average(model, 0.998), 0
    if (old := load(path)):
        start = resume(old, model, opt, ema)
    log(f"{sum(p.numel() for p in model.parameters())} parameters, from step {start} of {steps}")
    total = 0.0
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step])
        crop, n = (64, 32) if step < 0.75 * steps else (128, 8)
        x = pictures(rng, n, crop).to(DEVICE)
        noise = torch.randn(n, 4, crop // 8, crop // 8, device=DEVICE)
        value, mse = loss(model, x, noise)
        value.backward()
        opt.step(step / steps)
        ema.update(model)
        total += mse.item()
        if step % 50 == 49:
            log(f"step {step + 1}: PSNR {10 * np.log10(4 * 50 / total):.2f} dB")
            total = 0.0
        if step % 250 == 249 or step == steps - 1:
            save(path, model=model.state_dict(), opt=opt.state_dict(), ema=ema.values, step=step + 1)


def trained(folder):
    model = AutoencoderKL(**CONFIG)
    model.load_state_dict(load(f"{folder}/vae.pt")["ema"])
    return model.eval().requires_grad_(False)
