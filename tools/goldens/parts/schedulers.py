"""Scheduler-only trajectories of diffusers, with an analytic model instead of a network."""
import inspect
import math

import torch
from diffusers import (
    DDIMScheduler, DDPMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler, DPMSolverSDEScheduler,
    DPMSolverSinglestepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler, LCMScheduler, LMSDiscreteScheduler, PNDMScheduler, TCDScheduler,
    UniPCMultistepScheduler)

from .common import BETAS, Golden, generator, randn, recorded_noise, scheduler_facts

BASE = {**BETAS, "steps_offset": 1, "timestep_spacing": "leading", "set_alpha_to_one": False, "clip_sample": False,
        "prediction_type": "epsilon"}
V = {"prediction_type": "v_prediction"}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", **V}
SHAPE = (1, 4, 2, 3)
SEED = 4242

# short name -> class, steps in the spacing cases, settings that the class always gets there
SPACED = {
    "ddim": (DDIMScheduler, 20, {}), "euler": (EulerDiscreteScheduler, 20, {}), "dpmpp2m": (DPMSolverMultistepScheduler, 20, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, 20, {}), "unipc": (UniPCMultistepScheduler, 20, {}),
    "heun": (HeunDiscreteScheduler, 10, {}), "ddpm": (DDPMScheduler, 20, {}), "pndm": (PNDMScheduler, 20, {"skip_prk_steps": True}),
    "lms": (LMSDiscreteScheduler, 20, {}), "dpm2": (KDPM2DiscreteScheduler, 10, {}), "dpm2_a": (KDPM2AncestralDiscreteScheduler, 10, {}),
    "deis": (DEISMultistepScheduler, 20, {}), "dpmpp2s": (DPMSolverSinglestepScheduler, 20, {}),
    "dpmpp_sde": (DPMSolverSDEScheduler, 10, {"noise_sampler_seed": 0}),
}
# those that take karras and exponential sigmas
SIGMAS = ["euler", "dpmpp2m", "unipc", "heun", "lms", "dpm2", "dpm2_a", "deis", "dpmpp2s", "dpmpp_sde"]

# name -> class, steps, eta, settings
SINGLE = {
    "ddim_vpred": (DDIMScheduler, 12, None, V),
    "ddim_vpred_zsnr": (DDIMScheduler, 12, None, ZERO_SNR),
    "ddim_sample_pred": (DDIMScheduler, 12, None, {"prediction_type": "sample"}),
    "ddim_eta1": (DDIMScheduler, 12, 1.0, {}),
    "ddim_eta05_vpred": (DDIMScheduler, 12, 0.5, V),
    "ddim_clip": (DDIMScheduler, 12, None, {"clip_sample": True, "set_alpha_to_one": True}),
    "ddim_30": (DDIMScheduler, 30, None, {}),
    "ddim_1000_of_7": (DDIMScheduler, 7, None, {}),
    "ddim_linear_betas": (DDIMScheduler, 12, None, {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}),
    "ddim_cosine_betas": (DDIMScheduler, 12, None, {"beta_schedule": "squaredcos_cap_v2"}),
    "ddim_offset0": (DDIMScheduler, 12, None, {"steps_offset": 0, "set_alpha_to_one": True}),
    "euler_vpred_zsnr": (EulerDiscreteScheduler, 12, None, ZERO_SNR),
    "euler_a_vpred": (EulerAncestralDiscreteScheduler, 12, None, V),
    "euler_a_vpred_zsnr": (EulerAncestralDiscreteScheduler, 12, None, ZERO_SNR),
    "euler_a_turbo_1step": (EulerAncestralDiscreteScheduler, 1, None, {"timestep_spacing": "trailing"}),
    "euler_a_turbo_4step": (EulerAncestralDiscreteScheduler, 4, None, {"timestep_spacing": "trailing"}),
    "euler_lightning_4step": (EulerDiscreteScheduler, 4, None, {"timestep_spacing": "trailing"}),
    "euler_final_sigma_min": (EulerDiscreteScheduler, 12, None, {"final_sigmas_type": "sigma_min"}),
    "euler_interp_loglinear": (EulerDiscreteScheduler, 12, None, {"interpolation_type": "log_linear"}),
    "euler_beta_sigmas": (EulerDiscreteScheduler, 12, None, {"use_beta_sigmas": True}),
    "dpmpp2m_order1": (DPMSolverMultistepScheduler, 12, None, {"solver_order": 1}),
    "dpmpp2m_order3": (DPMSolverMultistepScheduler, 20, None, {"solver_order": 3}),
    "dpmpp2m_heun": (DPMSolverMultistepScheduler, 12, None, {"solver_type": "heun"}),
    "dpmpp2m_5steps": (DPMSolverMultistepScheduler, 5, None, {}),
    "dpmpp2m_no_lower_final": (DPMSolverMultistepScheduler, 8, None, {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
    "dpmpp2m_euler_at_final": (DPMSolverMultistepScheduler, 12, None, {"euler_at_final": True}),
    "dpmpp2m_lu": (DPMSolverMultistepScheduler, 12, None, {"use_lu_lambdas": True}),
    "dpmsolver_2m": (DPMSolverMultistepScheduler, 12, None, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    "dpmpp2m_sde": (DPMSolverMultistepScheduler, 12, None, {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp2m_sde_karras": (DPMSolverMultistepScheduler, 12, None, {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}),
    "dpmpp3m_sde_karras": (DPMSolverMultistepScheduler, 12, None,
                           {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True, "solver_order": 3}),
    "dpmpp2m_vpred_zsnr": (DPMSolverMultistepScheduler, 12, None, ZERO_SNR),
    "dpmpp2m_karras_vpred": (DPMSolverMultistepScheduler, 12, None, {"use_karras_sigmas": True, **V}),
    # with bh1 a final sigma of zero is not a number in the reference
    "unipc_bh1": (UniPCMultistepScheduler, 12, None, {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    "unipc_order3": (UniPCMultistepScheduler, 12, None, {"solver_order": 3}),
    "pndm_prk": (PNDMScheduler, 12, None, {"skip_prk_steps": False}),
    "pndm_vpred": (PNDMScheduler, 12, None, {"skip_prk_steps": True, **V}),
    "ddpm_vpred": (DDPMScheduler, 12, None, V),
    "ddpm_fixed_large": (DDPMScheduler, 12, None, {"variance_type": "fixed_large"}),
    "ddpm_clip": (DDPMScheduler, 12, None, {"clip_sample": True}),
    "ddpm_fixed_small_log": (DDPMScheduler, 12, None, {"variance_type": "fixed_small_log"}),
    "lcm_4": (LCMScheduler, 4, None, {}), "lcm_8": (LCMScheduler, 8, None, {}), "lcm_1": (LCMScheduler, 1, None, {}),
    "lcm_vpred": (LCMScheduler, 4, None, V),
    "tcd_4_eta0": (TCDScheduler, 4, 0.0, {}), "tcd_4_eta03": (TCDScheduler, 4, 0.3, {}), "tcd_8_eta1": (TCDScheduler, 8, 1.0, {}),
}


def cases():
    """name -> (class, steps, eta, settings)."""
    table = {}
    for spacing in ("leading", "linspace", "trailing"):
        for short, (kind, steps, settings) in SPACED.items():
            table[f"{short}_{spacing}"] = (kind, steps, None, {"timestep_spacing": spacing, **settings})
    for short in SIGMAS:
        kind = SPACED[short][0]
        table[f"{short}_karras"] = (kind, 12, None, {"use_karras_sigmas": True})
        table[f"{short}_exponential"] = (kind, 12, None, {"use_exponential_sigmas": True})
        table[f"{short}_vpred"] = (kind, 12, None, V)
    return {**table, **SINGLE}


def trajectory(golden, name, start, scheduler, steps, eta):
    """Runs one scheduler to the end and stores every state, every timestep and every noise it drew."""
    scheduler.set_timesteps(steps)
    accepted = inspect.signature(scheduler.step).parameters
    options = {}
    if "generator" in accepted:
        options["generator"] = generator(SEED)
    if "eta" in accepted and eta is not None:
        options["eta"] = eta
    x = start * float(scheduler.init_noise_sigma)
    states, draws = [x], []
    torch.manual_seed(0)  # where a scheduler takes no generator
    with recorded_noise(draws):
        for t in scheduler.timesteps:
            shift = torch.tensor(math.sin(0.01 * float(t)), dtype=torch.float32)
            output = 0.1 * scheduler.scale_model_input(x, t) + shift
            x = scheduler.step(output, t, x, **options).prev_sample.float()
            states.append(x)
    golden.put(f"{name}/timesteps", scheduler.timesteps.float())
    golden.put(f"{name}/traj", torch.cat(states))
    if hasattr(scheduler, "sigmas"):
        golden.put(f"{name}/sigmas", torch.as_tensor(scheduler.sigmas).float())
    if draws:
        golden.put(f"{name}/noise", torch.cat(draws))
    golden.case(name, steps=steps, model_calls=len(scheduler.timesteps), eta=eta, init_noise_sigma=float(scheduler.init_noise_sigma),
                timesteps_dtype=str(scheduler.timesteps.dtype), noise_draws=len(draws), seed=SEED if draws else None,
                **scheduler_facts(scheduler))


def make(out):
    golden = Golden(out, "schedulers")
    golden.notes["model"] = (
        "model_output(x, t) = 0.1 * scheduler.scale_model_input(x, t) + sin(0.01 * t), float32 tensor plus a float64 scalar cast to "
        "float32; x0 = randn * init_noise_sigma; traj[i] = sample after i steps; noise[i] = i-th tensor drawn by the scheduler "
        "(torch.Generator('cpu').manual_seed(seed))")
    start = randn(31, *SHAPE)
    golden.put("x0_noise", start)
    for name, (kind, steps, eta, settings) in cases().items():
        trajectory(golden, name, start, kind.from_config(BASE, **settings), steps, eta)
    clean, noise = randn(41, *SHAPE), randn(42, *SHAPE)
    golden.put("add_noise_x", clean)
    golden.put("add_noise_n", noise)
    for short in ("ddim", "ddpm", "euler", "dpmpp2m"):
        scheduler = SPACED[short][0].from_config(BASE)
        scheduler.set_timesteps(10)
        at = scheduler.timesteps[4:5]
        golden.put(f"add_noise_{short}", scheduler.add_noise(clean, noise, at))
        golden.put(f"add_noise_{short}_t", at.float())
    golden.put("alphas_cumprod_scaled_linear", DDIMScheduler.from_config(BASE).alphas_cumprod)
    golden.put("alphas_cumprod_zsnr", DDIMScheduler.from_config(BASE, rescale_betas_zero_snr=True).alphas_cumprod)
    golden.save()
