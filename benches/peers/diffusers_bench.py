#!/usr/bin/env python3
"""Times diffusers on the CPU in f32, part by part, and prints one JSON object.

    python diffusers_bench.py MODEL [--steps 3] [--width 512 --height 512] [--guidance 1] [--threads 2]

`unet` holds the seconds of every UNet step after one that warms up; with a guidance other than 1 a step is a batch of two,
as in a real run. `peak_bytes` is the most physical memory that this process has held.
"""
import argparse
import json
import os
import sys
import time

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TQDM_DISABLE": "1"}

PROMPT = "a red circle above a blue square"


def peak_bytes():
    """VmHWM, not getrusage: that one survives exec and would report the parent's."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def timed(function, *args, **kwargs):
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - start


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model")
    args.add_argument("--steps", type=int, default=3)
    args.add_argument("--width", type=int, default=512)
    args.add_argument("--height", type=int, default=512)
    args.add_argument("--guidance", type=float, default=1.0)
    args.add_argument("--threads", type=int, default=2)
    args = args.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)

    import diffusers
    import torch
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()

    pipeline, load = timed(diffusers.DiffusionPipeline.from_pretrained, args.model, torch_dtype=torch.float32, local_files_only=True)
    is_guided = args.guidance != 1.0
    (prompt, negative), text = timed(pipeline.encode_prompt, PROMPT, "cpu", 1, is_guided, "")
    context = torch.cat([negative, prompt]) if is_guided else prompt
    scheduler = pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(args.steps + 1)
    latents = torch.randn(1, 4, args.height // 8, args.width // 8, generator=torch.Generator("cpu").manual_seed(0))

    def step(x, t):
        out = pipeline.unet(torch.cat([x] * len(context)), t, context).sample
        if is_guided:
            without, with_prompt = out.chunk(2)
            out = without + args.guidance * (with_prompt - without)
        return scheduler.step(out, t, x).prev_sample

    seconds = []
    for t in scheduler.timesteps:
        latents, took = timed(step, latents, t)
        seconds.append(took)
    _, vae = timed(lambda: pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample)
    json.dump({
        "engine": f"diffusers {diffusers.__version__}, torch {torch.__version__}", "threads": args.threads, "width": args.width,
        "height": args.height, "guidance": args.guidance, "load": load, "text": text, "warm_up": seconds[0], "unet": seconds[1:],
        "vae": vae, "peak_bytes": peak_bytes()}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
