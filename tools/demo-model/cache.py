"""Stage 3: scenes turned into what the UNet learns from, in chunk files, so that a picture is drawn and encoded once."""
import glob
import os

import numpy as np
import torch

import scenes
import text
import vae
from common import Log, load, save

CHUNK = 1024


def make(folder, chunks, seed=3):
    """Adds chunks until there are `chunks`; may run beside the training, which takes up new ones as they come."""
    log = Log("cache")
    autoencoder = vae.trained(folder)
    _, _, embed, _ = text.trained(folder)
    os.makedirs(f"{folder}/chunks", exist_ok=True)
    for c in range(chunks):
        path = f"{folder}/chunks/{c:05}.pt"
        if os.path.exists(path):
            continue
        rng = np.random.default_rng([seed, c])
        made = [scenes.sample(rng) for _ in range(CHUNK)]
        drawn = [scenes.render(s, rng) for s in made]
        moments = []
        with torch.no_grad():
            for i in range(0, CHUNK, 32):
                x = torch.from_numpy(np.stack([d[0] for d in drawn[i:i + 32]])).permute(0, 3, 1, 2).float() / 127.5 - 1
                dist = autoencoder.encode(x).latent_dist
                moments.append(torch.stack([dist.mean, dist.std], 1).half())
        words = torch.cat([embed([s.caption for s in made[i:i + 128]]).half() for i in range(0, CHUNK, 128)])
        save(path, moments=torch.cat(moments), words=words,
             kinds=torch.from_numpy(np.stack([d[1] for d in drawn])), colours=torch.from_numpy(np.stack([d[2] for d in drawn])))
        if c % 4 == 3:
            log(f"chunk {c + 1} of {chunks}")


class Chunks:
    """Every chunk on disk, held in memory; `refresh` takes up new ones."""

    def __init__(self, folder):
        self.folder, self.held = folder, {}
        self.refresh()

    def refresh(self):
        for path in sorted(glob.glob(f"{self.folder}/chunks/*.pt")):
            if path not in self.held:
                self.held[path] = load(path)
        self.list = list(self.held.values())

    def batch(self, rng, n):
        """`n` samples drawn evenly from all chunks: latent moments, words, kind and colour maps."""
        rows = [(self.list[rng.integers(len(self.list))], int(rng.integers(CHUNK))) for _ in range(n)]
        return tuple(torch.stack([c[key][i] for c, i in rows]) for key in ("moments", "words", "kinds", "colours"))
