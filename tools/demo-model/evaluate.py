"""How often pictures obey their prompts, measured on the pixels. `python evaluate.py FOLDER` or `--truth` for the judge itself.

Each line is a share of prompts obeyed. `--truth` judges pictures drawn by the program in place of generated ones:
what the judge gets wrong there is its own error.
"""
import argparse
import itertools
import json

import numpy as np

import look
import scenes
from shapes import COLOURS, SHAPES

RELATION_WORDS = {"above": "above", "below": "below", "left": "to the left of", "right": "to the right of"}


def prompts(rng, pairs):
    """(group, prompt, scene that it asks for)."""
    for kind, colour in itertools.product(SHAPES, COLOURS):
        back = "white" if colour in ("black", "gray", "purple", "blue", "brown", "green", "red") else "black"
        yield "single", f"{scenes.article(f'{colour} {kind}')} on a {back} background", dict(kind=kind, colour=colour, back=back)
    for size, kind, colour in itertools.product(("small", "big"), ("circle", "square", "star", "heart"), ("red", "blue", "green", "yellow", "purple")):
        yield "size", f"a {size} {colour} {kind} on a white background", dict(kind=kind, colour=colour, size=size, back="white")
    strong = ["red", "blue", "green", "yellow", "purple", "black", "orange"]
    for i in range(pairs):
        a, b = rng.choice(strong, 2, replace=False)
        ka, kb = rng.choice(list(SHAPES), 2)
        relation = list(RELATION_WORDS)[i % 4]
        yield "pair", f"{scenes.article(f'{a} {ka}')} {RELATION_WORDS[relation]} {scenes.article(f'{b} {kb}')} on a white background", dict(
            relation=relation, a=(a, ka), b=(b, kb), back="white")
    for n, kind, colour in itertools.product((2, 3, 4, 5), ("circle", "star", "square"), ("red", "blue", "green")):
        yield "count", f"{scenes.NUMBERS[n]} {colour} {kind}s on a white background", dict(n=n, kind=kind, colour=colour, back="white")


def drawn(group, want, rng):
    """The picture that the program itself draws for a wish."""
    s = scenes.Scene(want["back"])
    if group in ("single", "size"):
        s.things = [scenes.Thing(want["kind"], want["colour"], 64, 64, scenes.radius(rng, want.get("size")))]
    elif group == "count":
        s.things = [scenes.Thing(want["kind"], want["colour"], x * 128, y * 128, 15) for x, y in scenes.LAYOUTS[want["n"]]]
    else:
        d = {"above": (0, -1), "below": (0, 1), "left": (-1, 0), "right": (1, 0)}[want["relation"]]
        s.things = [scenes.Thing(k, c, 64 + f * 26 * d[0], 64 + f * 26 * d[1], 22) for (c, k), f in ((want["a"], 1), (want["b"], -1))]
    return scenes.render(s, rng)[0]


def judge(group, want, image):
    """{measure: obeyed}."""
    if group == "pair":
        masks = [look.region(image, want[x][0]) for x in "ab"]
        both = all(m is not None for m in masks)
        shapes = [m is not None and look.shape_of(m, SHAPES)[0] == want[x][1] for m, x in zip(masks, "ab")]
        return {"pair: both colours": both, "pair: shapes (each)": np.mean(shapes), f"relation: {want['relation']}": both and look.related(want["relation"], *masks),
                "relations of two": both and look.related(want["relation"], *masks)}
    found = look.segments(image)
    if group == "count":
        big = [m for m in found if m.sum() > 0.4 * found[0].sum()]
        return {"count": len(big) == want["n"]}
    if not found:
        return {f"{group}: colour": False, f"{group}: shape": False} if group == "single" else {"size": False}
    if group == "size":
        e = look.extent(found[0])
        return {"size": e < 40 if want["size"] == "small" else e > 76}
    return {"single: colour": look.colour_of(image, found[0]) == want["colour"], "single: shape": look.shape_of(found[0], SHAPES)[0] == want["kind"]}


def run(make, rng, pairs=160, batch=24):
    """`make(prompts, wishes, index)` gives pictures; the result maps measures to (share, number)."""
    todo = list(prompts(rng, pairs))
    scores, failed = {}, []
    for i in range(0, len(todo), batch):
        part = todo[i:i + batch]
        for (group, prompt, want), image in zip(part, make(part, i)):
            for measure, ok in judge(group, want, image).items():
                scores.setdefault(measure, []).append(float(ok))
                if not ok:
                    failed.append((measure, prompt))
    return {m: (float(np.mean(v)), len(v)) for m, v in sorted(scores.items())}, failed


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("folder", nargs="?")
    p.add_argument("--truth", action="store_true")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--cfg", type=float, default=3.0)
    p.add_argument("--steps", type=int, default=25)
    p.add_argument("--pairs", type=int, default=160)
    p.add_argument("--failed", action="store_true", help="list the prompts that were not obeyed")
    p.add_argument("--json", help="write the figures here")
    a = p.parse_args()
    rng = np.random.default_rng(a.seed)
    if a.truth:
        def make(part, _):
            return [drawn(g, w, rng) for g, _, w in part]
    else:
        from export import Folder
        model = Folder(a.folder)

        def make(part, i):
            return model.pictures([prompt for _, prompt, _ in part], a.seed * 1000 + i, a.steps, a.cfg)
    scores, failed = run(make, rng, a.pairs)
    for measure, (share, n) in scores.items():
        print(f"{measure:24} {100 * share:6.1f} %  of {n}")
    if a.failed:
        print("\n".join(f"{m}: {prompt}" for m, prompt in failed))
    if a.json:
        with open(a.json, "w") as f:
            json.dump({m: dict(share=s, prompts=n) for m, (s, n) in scores.items()}, f, indent=1)


if __name__ == "__main__":
    main()
