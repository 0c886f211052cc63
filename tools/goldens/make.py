#!/usr/bin/env python3
"""Makes the reference data of `tests/goldens`: what PyTorch, diffusers, transformers and k-diffusion compute.

    python tools/goldens/make.py --out tests/goldens [--only rng,sd15]

Every network has random weights from fixed seeds; nothing is downloaded. One thread, about a minute.
"""
import argparse
import os
import sys
import time
import warnings

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TQDM_DISABLE": "1"}
warnings.filterwarnings("ignore")

import diffusers  # noqa: E402  (the environment comes first)
import torch  # noqa: E402
import transformers  # noqa: E402

from parts import kdiffusion, modules, pipelines, rng, schedulers, single_file, tokenizer, variants  # noqa: E402

# in this order: `inpaint9`, `lcm` and those after `taesd` borrow components of `sd15` and `taesd`
SUBJECTS = {
    "tokenizer": tokenizer.make,
    "rng": rng.make,
    "schedulers": schedulers.make,
    "kdiffusion": kdiffusion.make,
    "sd15": lambda out: pipelines.make_sd15(out, tokenizer.train()),
    "sd2": lambda out: pipelines.make_sd2(out, tokenizer.train()),
    "sdxl": lambda out: pipelines.make_sdxl(out, tokenizer.train()),
    "inpaint9": pipelines.make_inpaint9,
    "lcm": pipelines.make_lcm,
    "taesd": modules.make_taesd,
    "taesd_original": variants.make_taesd_original,
    "vae_tiling": variants.make_vae_tiling,
    "control": variants.make_control,
    "single_file": single_file.make,
}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", required=True, help="the folder to write to")
    args.add_argument("--only", default=",".join(SUBJECTS), help=f"some of {', '.join(SUBJECTS)}")
    args = args.parse_args()
    unknown = [name for name in args.only.split(",") if name not in SUBJECTS]
    if unknown:
        sys.exit(f"no subject is called {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    for name, make in SUBJECTS.items():
        if name in args.only.split(","):
            start = time.time()
            print(name, flush=True)
            make(args.out)
            print(f"  {time.time() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
