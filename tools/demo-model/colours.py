"""The colours of the latents: which red, green and blue a latent's channels stand for, for previews without the autoencoder.

    python colours.py "cargo run --release -p encaustic --" [MODEL]

A least-squares fit of what the decoder makes of finished pictures' latents, each pixel of a latent against the mean of the 8 x 8
pixels that it becomes (in -1 to 1), written as the two settings that go into the autoencoder's config.json. Pictures are made by the
command, so that what is fitted is what the engine computes."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PROMPTS = [
    "a red circle above a blue square", "three yellow stars on a blue background", "a house on a hill at night with a moon",
    "a green diamond in a yellow circle", "a purple heart", "a pink ring on a black background", "a white moon", "two orange squares",
    "a house on a green hill", "a brown triangle below a white circle", "a yellow sun above a green hill", "a grey cross",
    "a cyan circle on a purple background", "a large red heart on a white background", "a blue tree", "a small black star",
]


def tensors(path):
    """The tensors of a safetensors file in f32."""
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8:8 + length])
    body = data[8 + length:]
    table.pop("__metadata__", None)
    return {name: np.frombuffer(body[slice(*about["data_offsets"])], "<f4").reshape(about["shape"]) for name, about in table.items()}


def main(command, model):
    rows, colours = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed, prompt in enumerate(PROMPTS):
            dump = f"{folder}/{seed}.safetensors"
            words = ["generate", prompt, "--seed", str(seed), "--device", "cpu", "--out", f"{folder}/{seed}.png", "--dump-latents", dump]
            subprocess.run([*command.split(), *words, *(["--model", model] if model else [])], check=True, stdout=subprocess.DEVNULL)
            made = tensors(dump)
            latents, image = made["latents"][0], made["image"][0] * 2 - 1
            channels, height, width = latents.shape
            rows.append(latents.reshape(channels, -1).T)
            colours.append(image.reshape(3, height, 8, width, 8).mean((2, 4)).reshape(3, -1).T)
    x, y = np.concatenate(rows), np.concatenate(colours)
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    fit, *_ = np.linalg.lstsq(x, y, rcond=None)
    print(f"of the colours' spread, {1 - ((x @ fit - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum():.0%} is told", file=sys.stderr)
    rounded = fit.round(4).tolist()
    print(json.dumps({"latent_rgb_factors": rounded[:-1], "latent_rgb_factors_bias": rounded[-1]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
