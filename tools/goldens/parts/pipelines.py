"""Whole runs of diffusers' pipelines: the latents after every step, the noise that was drawn, some images."""
import contextlib

import torch
from diffusers import (
    DDIMScheduler, DDPMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler, DPMSolverSDEScheduler,
    DPMSolverSinglestepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler, LatentConsistencyModelPipeline, LCMScheduler, LMSDiscreteScheduler,
    PNDMScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline, TCDScheduler, UNet2DConditionModel, UniPCMultistepScheduler)
from transformers import CLIPTextModel

from . import modules, networks
from .common import (
    BETAS, HEIGHT, LATENT, NEGATIVE, PROMPT, PROMPTS, WIDTH, Golden, generator, initial_image, inpaint_mask, randn, recorded_noise,
    scheduler_facts, to_u8)

SIZE = {"height": HEIGHT, "width": WIDTH}
WORDS = {"prompt": PROMPT, "negative_prompt": NEGATIVE}
KARRAS = {"use_karras_sigmas": True}
SDE = {"algorithm_type": "sde-dpmsolver++"}

# name -> class, settings, steps, guidance, what the call gets besides
SD15 = {
    "ddim": (DDIMScheduler, {}, 6, 7.5, {}),
    "ddim_eta": (DDIMScheduler, {}, 6, 7.5, {"eta": 0.7}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}, 6, 7.5, {}),
    "euler": (EulerDiscreteScheduler, {}, 6, 7.5, {}),
    "euler_karras": (EulerDiscreteScheduler, KARRAS, 6, 7.5, {}),
    "euler_trailing": (EulerDiscreteScheduler, {"timestep_spacing": "trailing"}, 6, 7.5, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}, 6, 7.5, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {}, 6, 7.5, {}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, KARRAS, 6, 7.5, {}),
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, SDE, 6, 7.5, {}),
    "dpmpp_2m_sde_karras": (DPMSolverMultistepScheduler, {**SDE, **KARRAS}, 6, 7.5, {}),
    "dpmpp_sde": (DPMSolverSDEScheduler, {"noise_sampler_seed": 0}, 6, 7.5, {}),
    "dpmpp_sde_karras": (DPMSolverSDEScheduler, {"noise_sampler_seed": 0, **KARRAS}, 6, 7.5, {}),
    "dpmpp_2s": (DPMSolverSinglestepScheduler, {}, 6, 7.5, {}),
    "heun": (HeunDiscreteScheduler, {}, 6, 7.5, {}),
    "dpm2": (KDPM2DiscreteScheduler, {}, 6, 7.5, {}),
    "dpm2_a": (KDPM2AncestralDiscreteScheduler, {}, 6, 7.5, {}),
    "lms": (LMSDiscreteScheduler, {}, 6, 7.5, {}),
    "unipc": (UniPCMultistepScheduler, {}, 6, 7.5, {}),
    "unipc_karras": (UniPCMultistepScheduler, KARRAS, 6, 7.5, {}),
    "deis": (DEISMultistepScheduler, {}, 6, 7.5, {}),
    "ddpm": (DDPMScheduler, {}, 6, 7.5, {}),
    "lcm": (LCMScheduler, {}, 4, 1.5, {}),
    "tcd": (TCDScheduler, {}, 4, 1.5, {"eta": 0.3}),
}
SD15_IMAGES = ("ddim", "euler_a", "dpmpp_2m_karras", "lcm")


def run(golden, name, pipeline, picture=True, **call):
    """One run; `call` goes to the pipeline, and what of it is plain goes into the notes."""
    latents, timesteps, draws = [], [], []

    def keep(_pipeline, _step, t, tensors):
        latents.append(tensors["latents"].detach().float().clone())
        timesteps.append(float(t))
        return tensors

    pipeline.set_progress_bar_config(disable=True)
    with recorded_noise(draws):
        last = pipeline(callback_on_step_end=keep, callback_on_step_end_tensor_inputs=["latents"], output_type="latent", **call).images
    golden.put(f"{name}/latents", torch.stack(latents))
    golden.put(f"{name}/timesteps", torch.tensor(timesteps))
    if draws:
        golden.put(f"{name}/noise", torch.stack(draws))
    facts = {**scheduler_facts(pipeline.scheduler), "latent_std": float(latents[-1].std()), "noise_draws": len(draws)}
    if picture:
        decoded = pipeline.vae.decode(last / pipeline.vae.config.scaling_factor).sample
        golden.put(f"{name}/image_u8", to_u8(decoded))
        facts["saturated"] = round(float((decoded.abs() > 1).float().mean()), 3)
    golden.case(name, **facts, **{k: v for k, v in call.items() if is_plain(v)})


def is_plain(value):
    is_scalar = lambda v: v is None or isinstance(v, (int, float, str, bool))
    return is_scalar(value) or isinstance(value, (list, tuple)) and all(map(is_scalar, value))


def sensitivity(pipeline, latents, **call):
    """Change of the final latents, relative, when the first ones grow by 1e-5: how far a correct f32 port may be off."""
    a = pipeline(latents=latents, output_type="latent", **call).images
    b = pipeline(latents=latents * (1 + 1e-5), output_type="latent", **call).images
    return float((a - b).abs().max() / a.abs().max())


@contextlib.contextmanager
def text_model_attribute():
    """diffusers' clip_skip reads `text_encoder.text_model`, which transformers 5 does not have any more."""
    if "text_model" in CLIPTextModel.__dict__:
        yield
        return
    CLIPTextModel.text_model = property(lambda model: model)
    try:
        yield
    finally:
        del CLIPTextModel.text_model


def make_sd15(out, bpe):
    scheduler = PNDMScheduler(**BETAS, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1)
    scheduler.register_to_config(clip_sample=False)
    text = networks.text_encoder("sd15", len(bpe[0]))
    folder = networks.save_pipeline(f"{out}/models/sd15", StableDiffusionPipeline, networks.unet("sd15"), networks.vae(), [text],
                                    scheduler, bpe, ["<|endoftext|>"])
    pipeline = networks.load_pipeline(StableDiffusionPipeline, folder)
    golden = Golden(out, "sd15_modules")
    modules.text_encoder(golden, "text_encoder", pipeline.text_encoder, pipeline.tokenizer)
    modules.unet(golden, "unet", pipeline.unet)
    modules.vae(golden, "vae", pipeline.vae)
    golden.save()

    golden, base, start = Golden(out, "sd15_pipeline"), pipeline.scheduler.config, randn(61, *LATENT)
    golden.put("latents", start)
    golden.notes["common"] = {
        **WORDS, "hw": (HEIGHT, WIDTH), "latents": "key 'latents' (unit normal; the pipeline multiplies it by init_noise_sigma)",
        "generator": "torch.Generator('cpu').manual_seed(1234) passed to the pipeline (step noise; recorded under <case>/noise)",
        "per_step": "<case>/latents[i] = latents after step i (callback_on_step_end)"}
    embeds, negative_embeds = pipeline.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)
    golden.put("prompt_embeds", embeds)
    golden.put("negative_prompt_embeds", negative_embeds)
    for name, (kind, settings, steps, guidance, extra) in SD15.items():
        pipeline.scheduler = kind.from_config(base, **settings)
        torch.manual_seed(0)
        run(golden, name, pipeline, picture=name in SD15_IMAGES, latents=start.clone(), generator=generator(1234),
            num_inference_steps=steps, guidance_scale=guidance, **WORDS, **SIZE, **extra)
    sd15_variants(golden, pipeline, base, start)
    sd15_image_to_image(golden, pipeline, base)
    sd15_inpainting(golden, pipeline, base)
    golden.save()


def sd15_variants(golden, pipeline, base, start):
    pipeline.scheduler = DDIMScheduler.from_config(base)
    call = {**WORDS, **SIZE}
    golden.notes["sensitivity_ddim"] = sensitivity(pipeline, start, num_inference_steps=6, guidance_scale=7.5, **call)
    run(golden, "ddim_seeded", pipeline, picture=False, generator=generator(7), num_inference_steps=6, guidance_scale=7.5, **call)
    run(golden, "ddim_cfg1", pipeline, picture=False, latents=start.clone(), num_inference_steps=4, guidance_scale=1.0, **call)
    with text_model_attribute():
        run(golden, "ddim_clip_skip1", pipeline, picture=False, latents=start.clone(), num_inference_steps=4, guidance_scale=5.0,
            clip_skip=1, **call)
    run(golden, "ddim_guidance_rescale", pipeline, picture=False, latents=start.clone(), num_inference_steps=4, guidance_scale=7.5,
        guidance_rescale=0.7, **call)
    pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(base)
    run(golden, "euler_a_seeded", pipeline, picture=False, generator=generator(7), num_inference_steps=6, guidance_scale=7.5, **call)
    run(golden, "euler_a_batch2_seeds_7_8", pipeline, generator=[generator(7), generator(8)], num_inference_steps=4,
        guidance_scale=7.5, prompt=[PROMPTS[0], PROMPTS[2]], negative_prompt=[NEGATIVE, ""], **SIZE)


def sd15_image_to_image(golden, pipeline, base):
    pipeline.scheduler = PNDMScheduler.from_config(base)
    editing = StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
    image = initial_image()
    golden.put("init_image_u8", (image * 255).round().to(torch.uint8))
    for name, kind in (("ddim", DDIMScheduler), ("euler", EulerDiscreteScheduler), ("dpmpp_2m", DPMSolverMultistepScheduler)):
        editing.scheduler = kind.from_config(base)
        run(golden, f"img2img_{name}", editing, picture=name == "ddim", **WORDS, image=image, strength=0.6,
            generator=generator(1234), num_inference_steps=10, guidance_scale=7.5)
    rng = generator(1234)
    golden.put("img2img_vae_noise", torch.randn(LATENT, generator=rng))
    golden.put("img2img_latent_noise", torch.randn(LATENT, generator=rng))
    golden.notes["img2img"] = (
        "order of draws: VAE posterior sample noise (img2img_vae_noise), then the noise added to the latents (img2img_latent_noise), then "
        "step noise; image01 = init_image_u8 / 255, mapped to [-1,1] by the pipeline")


def sd15_inpainting(golden, pipeline, base):
    """The plain 4-channel UNet: the mask is blended in after each step."""
    inpainting = StableDiffusionInpaintPipeline(**pipeline.components, requires_safety_checker=False)
    inpainting.scheduler = DDIMScheduler.from_config(base)
    mask = inpaint_mask()
    golden.put("mask", mask.to(torch.uint8))
    for name, strength in (("inpaint4_ddim", 1.0), ("inpaint4_ddim_s07", 0.7)):
        run(golden, name, inpainting, picture=strength == 1.0, **WORDS, **SIZE, image=initial_image(), mask_image=mask,
            strength=strength, generator=generator(1234), num_inference_steps=6, guidance_scale=7.5)


def make_sd2(out, bpe):
    scheduler = DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="v_prediction")
    text = networks.text_encoder("sd2", len(bpe[0]))
    folder = networks.save_pipeline(f"{out}/models/sd2", StableDiffusionPipeline, networks.unet("sd2"),
                                    networks.vae(f"{networks.SEED}/2"), [text], scheduler, bpe, ["!"])
    pipeline = networks.load_pipeline(StableDiffusionPipeline, folder)
    golden = Golden(out, "sd2_modules")
    modules.text_encoder(golden, "text_encoder", pipeline.text_encoder, pipeline.tokenizer)
    modules.unet(golden, "unet", pipeline.unet)
    golden.save()

    golden, base, start = Golden(out, "sd2_pipeline"), pipeline.scheduler.config, randn(61, *LATENT)
    golden.put("latents", start)
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    table = {"ddim": (DDIMScheduler, {}), "euler": (EulerDiscreteScheduler, {}), "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
             "pndm": (PNDMScheduler, {"skip_prk_steps": True}), "ddim_zsnr": (DDIMScheduler, zero_snr)}
    for name, (kind, settings) in table.items():
        pipeline.scheduler = kind.from_config(base, **settings)
        run(golden, name, pipeline, picture=name == "ddim", latents=start.clone(), num_inference_steps=6, guidance_scale=7.5,
            guidance_rescale=0.7 if name == "ddim_zsnr" else 0.0, **WORDS, **SIZE)
    # SD-Turbo's way: one Euler step, no guidance
    pipeline.scheduler = EulerDiscreteScheduler.from_config(base, prediction_type="epsilon", timestep_spacing="trailing")
    run(golden, "turbo_1step", pipeline, latents=start.clone(), prompt=PROMPT, num_inference_steps=1, guidance_scale=0.0, **SIZE)
    golden.save()


def make_sdxl(out, bpe):
    scheduler = EulerDiscreteScheduler(**BETAS, steps_offset=1, timestep_spacing="leading", interpolation_type="linear", use_karras_sigmas=False)
    vae = networks.vae(f"{networks.SEED}/xl", scaling_factor=0.13025, force_upcast=True)
    texts = [networks.text_encoder(kind, len(bpe[0])) for kind in ("sdxl1", "te2")]
    folder = networks.save_pipeline(f"{out}/models/sdxl", StableDiffusionXLPipeline, networks.unet("sdxl"), vae, texts, scheduler, bpe,
                                    ["<|endoftext|>", "!"], force_zeros_for_empty_prompt=True)
    pipeline = networks.load_pipeline(StableDiffusionXLPipeline, folder)
    golden = Golden(out, "sdxl_modules")
    modules.text_encoder(golden, "text_encoder", pipeline.text_encoder, pipeline.tokenizer)
    modules.text_encoder(golden, "text_encoder_2", pipeline.text_encoder_2, pipeline.tokenizer_2)
    micro = torch.tensor([[64.0, 96, 0, 0, 64, 96], [512, 768, 16, 8, 64, 96]])
    added = {"text_embeds": randn(24, 2, networks.TEXT_2["hidden_size"]), "time_ids": micro}
    modules.unet(golden, "unet", pipeline.unet, {"added_cond_kwargs": added})
    golden.save()

    golden, base, start = Golden(out, "sdxl_pipeline"), pipeline.scheduler.config, randn(61, *LATENT)
    golden.put("latents", start)
    embeds = pipeline.encode_prompt(prompt=PROMPT, negative_prompt=NEGATIVE, device="cpu", do_classifier_free_guidance=True)
    for name, tensor in zip(("prompt_embeds", "negative_prompt_embeds", "pooled", "negative_pooled"), embeds):
        golden.put(name, tensor)
    call = {"prompt": PROMPT, **SIZE, "num_inference_steps": 6, "guidance_scale": 5.0}
    table = {"euler": (EulerDiscreteScheduler, {}), "dpmpp_2m_karras": (DPMSolverMultistepScheduler, KARRAS),
             "euler_a": (EulerAncestralDiscreteScheduler, {}), "unipc": (UniPCMultistepScheduler, {})}
    for name, (kind, settings) in table.items():
        pipeline.scheduler = kind.from_config(base, **settings)
        run(golden, name, pipeline, picture=name == "euler", latents=start.clone(), negative_prompt=NEGATIVE, generator=generator(1234), **call)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(base)
    run(golden, "euler_no_negative_zeros", pipeline, picture=False, latents=start.clone(), **call)
    run(golden, "euler_micro_cond", pipeline, picture=False, latents=start.clone(), negative_prompt=NEGATIVE, prompt_2="a blue square",
        original_size=(512, 768), crops_coords_top_left=(16, 8), target_size=(64, 96), clip_skip=1, **call)
    pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(base, timestep_spacing="trailing")
    run(golden, "turbo_1step", pipeline, latents=start.clone(), generator=generator(1234),
        **{**call, "num_inference_steps": 1, "guidance_scale": 0.0})
    parts = {k: v for k, v in pipeline.components.items() if k not in ("image_encoder", "feature_extractor")}
    editing = StableDiffusionXLImg2ImgPipeline(**parts)
    editing.scheduler = EulerDiscreteScheduler.from_config(base)
    image = initial_image()
    golden.put("init_image_u8", (image * 255).round().to(torch.uint8))
    run(golden, "img2img_euler", editing, **WORDS, image=image, strength=0.5, generator=generator(1234), num_inference_steps=10,
        guidance_scale=5.0)
    golden.save()


def make_inpaint9(out):
    """A UNet with 9 input channels in the place of SD 1.5's: latents, mask, and the latents of the masked image."""
    networks.save_half(networks.unet("small", f"{networks.SEED}/inp", in_channels=9), f"{out}/models/inpaint_unet")
    unet = UNet2DConditionModel.from_pretrained(f"{out}/models/inpaint_unet", torch_dtype=torch.float32)
    pipeline = networks.load_pipeline(StableDiffusionInpaintPipeline, f"{out}/models/sd15", unet=unet)
    golden = Golden(out, "inpaint9")
    modules.unet(golden, "unet", pipeline.unet)
    image, mask = initial_image(), inpaint_mask()
    golden.put("init_image_u8", (image * 255).round().to(torch.uint8))
    golden.put("mask", mask.to(torch.uint8))
    golden.notes["note"] = ("models/inpaint_unet replaces unet/ of models/sd15; UNet input = cat(latents, mask at latent size (nearest), "
                            "VAE latents of the masked image)")
    for name, kind, strength in (("ddim", DDIMScheduler, 1.0), ("euler_a", EulerAncestralDiscreteScheduler, 1.0), ("ddim_s07", DDIMScheduler, 0.7)):
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
        run(golden, name, pipeline, picture=name == "ddim", **WORDS, **SIZE, image=image, mask_image=mask, strength=strength,
            generator=generator(1234), num_inference_steps=6, guidance_scale=7.5)
    golden.save()


def make_lcm(out):
    """A UNet with an embedding of the guidance scale in the place of SD 1.5's."""
    networks.save_half(networks.unet("small", f"{networks.SEED}/lcm", time_cond_proj_dim=16), f"{out}/models/lcm_unet")
    unet = UNet2DConditionModel.from_pretrained(f"{out}/models/lcm_unet", torch_dtype=torch.float32)
    scheduler = LCMScheduler(**BETAS, steps_offset=1, set_alpha_to_one=True, original_inference_steps=50)
    pipeline = networks.load_pipeline(LatentConsistencyModelPipeline, f"{out}/models/sd15", unet=unet, scheduler=scheduler)
    golden = Golden(out, "lcm")
    golden.notes["note"] = "models/lcm_unet (time_cond_proj_dim) replaces unet/ of models/sd15"
    embedding = pipeline.get_guidance_scale_embedding(torch.tensor([7.5, 0.5]), embedding_dim=16)
    x, context, start = randn(21, 2, *LATENT[1:]), randn(22, 2, 77, networks.TEXT["hidden_size"]), randn(61, *LATENT)
    tensors = {"guidance_embedding_7.5_0.5": embedding, "unet/x": x, "unet/ctx": context, "latents": start,
               "unet/out_t981": pipeline.unet(x, 981, context, timestep_cond=embedding).sample}
    for name, tensor in tensors.items():
        golden.put(name, tensor)
    run(golden, "lcm_4step", pipeline, latents=start.clone(), generator=generator(1234), num_inference_steps=4, guidance_scale=8.5,
        prompt=PROMPT, **SIZE)
    golden.save()
