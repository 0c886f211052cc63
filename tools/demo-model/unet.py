"""Stage 4: the denoiser. v-prediction (Salimans & Ho 2022), zero terminal SNR (Lin et al. 2023)."""
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel

import scenes
import text
from cache import Chunks
from common import DEVICE, Average, Log, Optimiser, load, resume, save

CONFIG = dict(
    sample_size=16, in_channels=4, out_channels=4, block_out_channels=(32, 96, 192), layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=128, attention_head_dim=4, norm_num_groups=16, use_linear_projection=True,
)
SCHEDULER = dict(
    num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
    rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True, steps_offset=0,
)
CLASSES = (len(scenes.KINDS) + 1, len(scenes.COLOURS))
MAP_WEIGHT = 0.08


class Learner(torch.nn.Module):
    """The UNet and two heads that say which kind and colour is where: a nudge towards the words, not shipped."""

    def __init__(self):
        super().__init__()
        self.unet = UNet2DConditionModel(**CONFIG)
        c = CONFIG["block_out_channels"]
        self.head8 = torch.nn.Conv2d(c[2], sum(CLASSES), 1)
        self.head16 = torch.nn.Conv2d(c[1], sum(CLASSES), 1)
        self.seen = {}
        self.unet.up_blocks[0].register_forward_hook(lambda _m, _i, out: self.seen.__setitem__(8, out))
        self.unet.up_blocks[1].register_forward_hook(lambda _m, _i, out: self.seen.__setitem__(16, out))

    def forward(self, x, t, words):
        v = self.unet(x, t, words).sample
        return v, self.head8(self.seen[8]), self.head16(self.seen[16])


def map_loss(logits, kinds, colours, weight):
    kind, colour = logits.split(CLASSES, 1)
    return F.cross_entropy(kind, kinds, weight) + 0.5 * F.cross_entropy(colour, colours)


def latent_scale(chunks):
    return 1.0 / torch.cat([c["moments"][:, 0].float() for c in chunks.list[:8]]).std().item()


def train(folder, steps, batch=64, seed=4, muon_lr=0.01, adam_lr=1e-3):
    log, path = Log("unet"), f"{folder}/unet.pt"
    torch.manual_seed(seed)
    chunks = Chunks(folder)
    learner = Learner().to(DEVICE)
    opt, ema, start = Optimiser(learner, muon_lr, adam_lr), Average(learner, 0.999), 0
    old = load(path)
    if old:
        start = resume(old, learner, opt, ema)
    scale = old["scale"] if old else latent_scale(chunks)
    log(f"{sum(p.numel() for p in learner.unet.parameters())} parameters, {len(chunks.list)} chunks, scale {scale:.4f}, from step {start} of {steps}")
    bars = DDIMScheduler(**SCHEDULER).alphas_cumprod.to(DEVICE)
    nothing = text.trained(folder)[2]([""])[0].half().to(DEVICE)
    weight = torch.ones(CLASSES[0], device=DEVICE)
    weight[0] = 0.3
    sums = np.zeros(3)
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step])
        torch.manual_seed(seed * 1_000_003 + step)
        moments, words, kinds, colours = (part.to(DEVICE) for part in chunks.batch(rng, batch))
        x0 = (moments[:, 0].float() + moments[:, 1].float() * torch.randn(batch, 4, 16, 16, device=DEVICE)) * scale
        words[torch.rand(batch, device=DEVICE) < 0.1] = nothing
        # One time from each of `batch` strata, more of the noisy ones: there the words decide. The last has no signal at all.
        u = (torch.arange(batch, device=DEVICE) + torch.rand(batch, device=DEVICE)) / batch
        t = (u ** 0.75 * 1000).long().clamp(0, 999)
        t[-2:] = 999
        a = bars[t][:, None, None, None]
        noise = torch.randn_like(x0)
        x = a.sqrt() * x0 + (1 - a).sqrt() * noise
        v, map8, map16 = learner(x, t, words.float())
        # Cells at and around things count three times as much: outlines are a small part of a picture, and the best
        # answer for a cell does not depend on how much the cell counts.
        near = F.max_pool2d((kinds > 0).float()[:, None], 3, 1, 1)
        errors = (v - a.sqrt() * noise + (1 - a).sqrt() * x0) ** 2
        denoise = ((1 + 2 * near) * errors).sum() / (1 + 2 * near).sum() / 4
        kinds, colours = kinds.long(), colours.long()
        maps = (map_loss(map8, kinds[:, 1::2, 1::2], colours[:, 1::2, 1::2], weight), map_loss(map16, kinds, colours, weight))
        (denoise + MAP_WEIGHT * sum(maps)).backward()
        opt.step(step / steps)
        ema.update(learner)
        sums += denoise.item(), maps[0].item(), maps[1].item()
        if step % 50 == 49:
            log(f"step {step + 1}: v {sums[0] / 50:.4f} maps {sums[1] / 50:.3f} {sums[2] / 50:.3f}")
            sums[:] = 0
            chunks.refresh()
        if step % 250 == 249 or step == steps - 1:
            save(path, model=learner.state_dict(), opt=opt.state_dict(), ema=ema.values, step=step + 1, scale=scale)


def trained(folder):
    state = load(f"{folder}/unet.pt")
    learner = Learner()
    learner.load_state_dict(state["ema"])
    return learner.unet.eval().requires_grad_(False), state["scale"]
