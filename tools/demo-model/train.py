"""The whole way from nothing to a model folder: `python train.py RUN OUT`. Stopped, it goes on where it was.

RUN holds checkpoints and encoded scenes (about 22 MB per thousand scenes); OUT becomes the diffusers folder.
More steps make a better model: raise `--unet-steps` and `--chunks` together, so that scenes are not seen too
often. `--start FOLDER` takes all parts from a diffusers folder that an earlier run wrote, and trains its UNet further.
"""
import argparse
import os

import torch

import cache
import export
import text
import unet
import vae


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run")
    p.add_argument("out")
    p.add_argument("--vae-steps", type=int, default=1050)
    p.add_argument("--text-steps", type=int, default=320)
    p.add_argument("--chunks", type=int, default=31, help=f"of {cache.CHUNK} scenes each")
    p.add_argument("--unet-steps", type=int, default=1900)
    p.add_argument("--start", metavar="FOLDER", help="train the UNet of this model further")
    p.add_argument("--seed", type=int, default=3, help="of the scenes; a run that goes on from a folder should see new ones")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    a = p.parse_args()
    os.makedirs(a.run, exist_ok=True)
    torch.set_num_threads(a.threads)
    if a.start:
        export.unpack(a.start, a.run)
    else:
        vae.train(a.run, a.vae_steps)
        text.train(a.run, a.text_steps)
    cache.make(a.run, a.chunks, a.seed)
    # What has been learnt should not be shaken off: a little slower than from nothing.
    pace = 0.8 if a.start else 1.0
    unet.train(a.run, a.unet_steps, seed=a.seed + 1, muon_lr=0.01 * pace, adam_lr=1e-3 * pace)
    export.write(a.run, a.out)


if __name__ == "__main__":
    main()
