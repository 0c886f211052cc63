"""k-diffusion's own samplers, which A1111 and ComfyUI call, with an analytic denoiser."""
import importlib
import importlib.util
import inspect
import sys
import types

import torch
from diffusers import DDIMScheduler

from .common import BETAS, Golden, generator, randn

SAMPLERS = ["sample_euler", "sample_euler_ancestral", "sample_heun", "sample_dpm_2", "sample_dpm_2_ancestral", "sample_lms",
            "sample_dpmpp_2s_ancestral", "sample_dpmpp_sde", "sample_dpmpp_2m", "sample_dpmpp_2m_sde", "sample_dpmpp_3m_sde"]
SHAPE = (1, 4, 2, 3)


def sampling_module():
    """`k_diffusion.sampling` alone: the package's `__init__` and `utils` import training and web libraries."""
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(importlib.util.find_spec("k_diffusion").submodule_search_locations)
    utils = types.ModuleType("k_diffusion.utils")
    utils.append_dims = lambda x, dims: x[(...,) + (None,) * (dims - x.ndim)]
    package.utils = utils
    sys.modules |= {"k_diffusion": package, "k_diffusion.utils": utils}
    return importlib.import_module("k_diffusion.sampling")


def denoised(x, sigma, **_):
    s = sigma.view(-1, 1, 1, 1)
    return x - s * (0.1 * x / (s**2 + 1).sqrt() + s.log().sin())


def make(out):
    k = sampling_module()
    golden = Golden(out, "kdiffusion")
    golden.notes["model"] = ("denoised(x, sigma) = x - sigma * (0.1 * x / sqrt(sigma^2+1) + sin(log(sigma))); x0 = noise * sigmas[0]; "
                             "traj[i] = x at callback i (before step i), last = result")
    signal = DDIMScheduler.from_config({**BETAS, "steps_offset": 1}).alphas_cumprod
    sigmas = ((1 - signal) / signal) ** 0.5
    low, high = float(sigmas[0]), float(sigmas[-1])
    golden.notes |= {"sigma_min": low, "sigma_max": high}
    plans = {"karras": k.get_sigmas_karras(10, low, high), "exponential": k.get_sigmas_exponential(10, low, high),
             "polyexponential": k.get_sigmas_polyexponential(10, low, high, rho=1.5)}
    for name, plan in plans.items():
        golden.put(f"sigmas/{name}", plan)
    noise = randn(51, *SHAPE)
    golden.put("noise0", noise)
    for name in SAMPLERS:
        sampler = getattr(k, name)
        for plan in ("karras", "exponential"):
            run(golden, f"{name}/{plan}", sampler, noise, plans[plan])
    golden.save()


def run(golden, name, sampler, noise, sigmas):
    rng, draws, states = generator(99), [], []

    def noise_sampler(_from, _to):
        draws.append(torch.randn(SHAPE, generator=rng))
        return draws[-1]

    options = {"noise_sampler": noise_sampler} if "noise_sampler" in inspect.signature(sampler).parameters else {}
    result = sampler(denoised, noise * sigmas[0], sigmas, callback=lambda d: states.append(d["x"].clone()), disable=True, **options)
    golden.put(f"{name}/traj", torch.cat(states + [result]))
    if draws:
        golden.put(f"{name}/noise", torch.cat(draws))
