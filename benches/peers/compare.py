#!/usr/bin/env python3
"""Runs Encaustic and diffusers on the same model in turns and prints how they compare.

    python benches/peers/compare.py MODEL --python VENV/bin/python [--encaustic PATH] [--rounds 2] [--steps 3] [--json FILE]

In turns, because a machine's clock moves with load and heat: each round runs both, and medians are compared. Without
`--encaustic` the command is built first. Threads: as many as `--threads` says, for both (default 2).
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def last_json(command, threads):
    """Runs a command and reads the last line of its output as JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: failed with {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def build():
    subprocess.run(["cargo", "build", "--release", "-p", "encaustic"], cwd=ROOT, check=True)
    told = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True, capture_output=True)
    return pathlib.Path(json.loads(told.stdout)["target_directory"]) / "release" / "encaustic"


def ours(report):
    """The same words for both engines."""
    return {"load": report["load"], "text": report["text"], "unet": report["unet"]["median"], "vae": report["vae"],
            "peak_bytes": report["peak_bytes"]}


def theirs(report):
    return {**{k: report[k] for k in ("load", "text", "vae", "peak_bytes")}, "unet": statistics.median(report["unet"])}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("--python", default=sys.executable, help="an interpreter that has diffusers")
    args.add_argument("--encaustic", type=pathlib.Path)
    args.add_argument("--rounds", type=int, default=2)
    args.add_argument("--steps", type=int, default=3)
    args.add_argument("--width", type=int, default=512)
    args.add_argument("--height", type=int, default=512)
    args.add_argument("--guidance", type=float, default=1.0)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--json", type=pathlib.Path, help="write every report there")
    args = args.parse_args()

    size = ["--steps", args.steps, "--width", args.width, "--height", args.height]
    command = args.encaustic or build()
    commands = {
        "encaustic": [command, "bench", "--model", args.model, "--device", "cpu", "--cfg", args.guidance, *size, "--json"],
        "diffusers": [args.python, HERE / "diffusers_bench.py", args.model, "--guidance", args.guidance, "--threads", args.threads, *size],
    }
    reports = {engine: [] for engine in commands}
    for round_ in range(args.rounds):
        for engine, words in commands.items():
            reports[engine].append(last_json([str(word) for word in words], args.threads))
            print(f"round {round_ + 1} of {args.rounds}: {engine} done", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")

    common = {"encaustic": list(map(ours, reports["encaustic"])), "diffusers": list(map(theirs, reports["diffusers"]))}
    print(f"{args.width} x {args.height}, guidance {args.guidance}, {args.threads} threads, median of {args.rounds} rounds\n")
    print("| | Encaustic | diffusers | ratio |\n|---|---|---|---|")
    rows = {"load, s": "load", "text, s": "text", "UNet step, s": "unet", "VAE decode, s": "vae", "peak memory, GB": "peak_bytes"}
    for title, key in rows.items():
        scale = 1e9 if key == "peak_bytes" else 1
        a, b = (statistics.median(r[key] for r in common[engine]) / scale for engine in ("encaustic", "diffusers"))
        print(f"| {title} | {a:.2f} | {b:.2f} | {a / b:.2f} |")


if __name__ == "__main__":
    main()
