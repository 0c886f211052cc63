#!/usr/bin/env python3
"""Compares two folders of golden data: which files and tensors one of them lacks, and how far the values are apart.

    python tools/goldens/compare.py tests/goldens /tmp/goldens [--tolerance 2e-3]

Fails when a tensor of the first folder is absent from the second, or differs by more than the tolerance, relative to its
own norm. Files of text are compared as JSON where they are JSON; versions of libraries are ignored.
"""
import argparse
import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file

VERSIONS = {"_diffusers_version", "transformers_version", "cpu_capability"}


def tensors(path):
    return {k: v.astype(np.float64) for k, v in load_file(path).items()}


def distance(a, b):
    if a.shape != b.shape:
        return float("inf")
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(a), np.finfo(np.float64).tiny))


def differing_facts(a, b, where=""):
    """Paths of values that differ; numbers count as equal within 1 %, for they are measurements of rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [found for key in sorted(set(a) | set(b)) if key not in VERSIONS and "fp64_noise" not in key
                for found in differing_facts(a.get(key), b.get(key), f"{where}/{key}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [found for i, (x, y) in enumerate(zip(a, b)) for found in differing_facts(x, y, f"{where}/{i}")]
    if isinstance(a, float) and isinstance(b, float):
        return [] if abs(a - b) <= 0.01 * max(abs(a), abs(b)) else [f"{where}: {a} and {b}"]
    return [] if a == b else [f"{where}: {str(a)[:60]} and {str(b)[:60]}"]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("kept", type=pathlib.Path)
    args.add_argument("made", type=pathlib.Path)
    args.add_argument("--tolerance", type=float, default=2e-3)
    args = args.parse_args()
    failures = 0
    for kept in sorted(p for p in args.kept.rglob("*") if p.is_file() and p.name != "README.md"):
        name = kept.relative_to(args.kept)
        made = args.made / name
        if not made.exists():
            print(f"{name}: was not made")
            failures += 1
        elif name.suffix == ".safetensors":
            failures += compare_tensors(name, tensors(kept), tensors(made), args.tolerance)
        elif name.suffix == ".json":
            found = differing_facts(json.loads(kept.read_text("utf-8")), json.loads(made.read_text("utf-8")))
            for line in found[:8]:
                print(f"{name}{line}")
        elif kept.read_bytes() != made.read_bytes():
            print(f"{name}: differs")
    sys.exit(f"{failures} failures" if failures else 0)


def compare_tensors(name, kept, made, tolerance):
    missing = sorted(set(kept) - set(made))
    apart = {key: distance(kept[key], made[key]) for key in kept if key in made}
    worst = max(apart, key=apart.get, default=None)
    beyond = [key for key, value in apart.items() if not value <= tolerance]
    equal = sum(value == 0 for value in apart.values())
    print(f"{name}: {len(apart)} tensors, {equal} equal to the bit, worst {apart.get(worst, 0.0):.1e} ({worst})")
    for key in missing:
        print(f"  {key}: was not made")
    for key in beyond:
        print(f"  {key}: {apart[key]:.1e} apart")
    return len(missing) + len(beyond)


if __name__ == "__main__":
    main()
