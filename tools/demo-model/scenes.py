"""Random scenes, their pictures and their captions: the whole training set is this program.

A scene is a background and a list of things, back to front. `render` gives the picture and, for every latent cell,
which kind and which colour covers it (that teaches the UNet where things are; the shipped model has no such head).
"""
from dataclasses import dataclass, field

import numpy as np

from shapes import COLOURS, KINDS, OBJECTS, SHAPES, TEXTURES, texture_mask

SIZE = 128
CELL = 8
KIND_IDS = {k: i + 1 for i, k in enumerate(KINDS)}  # 0 is background
COLOUR_IDS = {c: i for i, c in enumerate(COLOURS)}
GRID_Y, GRID_X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")


@dataclass
class Thing:
    kind: str
    colour: str
    x: float
    y: float
    r: float
    texture: str | None = None


@dataclass
class Scene:
    background: str = "white"  # a colour, or "" for a landscape
    things: list = field(default_factory=list)
    caption: str = ""
    land: tuple | None = None  # (sky colours, ground colour, horizon, stars)
    facts: dict = field(default_factory=dict)  # what the caption says, by name: see FACTS
    told_background: str | None = None


# ---------------------------------------------------------------- pictures

def tint(colour, rng, amount=9):
    return np.clip(np.asarray(COLOURS.get(colour, colour), np.float32) + rng.uniform(-amount, amount, 3), 0, 255)


def blend(canvas, window, alpha, colour):
    part = canvas[window]
    part += alpha[..., None] * (colour - part)


def draw_thing(canvas, kinds, colours, t, rng):
    reach = t.r * 1.1 + 2
    x0, x1 = int(max(t.x - reach, 0)), int(min(t.x + reach + 1, SIZE))
    y0, y1 = int(max(t.y - reach, 0)), int(min(t.y + reach + 1, SIZE))
    if x0 >= x1 or y0 >= y1:
        return
    win = (slice(y0, y1), slice(x0, x1))
    px, py = GRID_X[win] - t.x, GRID_Y[win] - t.y
    ux, uy = px / t.r, py / t.r
    main = tint(t.colour, rng)
    for distance, paint in KINDS[t.kind]:
        alpha = np.clip(0.5 - distance(ux, uy) * t.r, 0, 1)
        if paint == "main":
            colour = main
            if t.texture:
                other = main * 0.25 + 190 if t.colour != "white" else main * 0.3
                colour = main + texture_mask(t.texture, px, py)[..., None] * (np.clip(other, 0, 255) - main)
        else:
            colour = np.asarray(paint, np.float32)
        blend(canvas, win, alpha, colour)
        covered = alpha > 0.5
        kinds[win][covered] = KIND_IDS[t.kind]
        if paint == "main":
            colours[win][covered] = COLOUR_IDS[t.colour]


def draw_land(canvas, colours, scene, rng):
    sky, ground, horizon, stars = scene.land
    top, low = tint(sky[0], rng, 5), tint(sky[1], rng, 5)
    f = np.clip(GRID_Y / horizon, 0, 1)[..., None]
    canvas[:] = top + f * (low - top)
    for _ in range(stars):
        sx, sy = rng.uniform(4, 124), rng.uniform(4, horizon - 8)
        blend(canvas, ..., np.clip(1.6 - np.hypot(GRID_X - sx, GRID_Y - sy), 0, 1), np.float32([250, 246, 210]))
    line = horizon + rng.uniform(0, 5) * np.sin(GRID_X / rng.uniform(18, 34) + rng.uniform(0, 6))
    blend(canvas, ..., np.clip(GRID_Y - line + 0.5, 0, 1), tint(ground, rng, 6))
    colours[:] = COLOUR_IDS["blue"]
    colours[GRID_Y > line] = COLOUR_IDS["green"]


def render(scene, rng):
    """The picture, u8 [128, 128, 3], and the kind and colour maps, u8 [16, 16]."""
    canvas = np.empty((SIZE, SIZE, 3), np.float32)
    kinds = np.zeros((SIZE, SIZE), np.uint8)
    colours = np.zeros((SIZE, SIZE), np.uint8)
    if scene.land:
        draw_land(canvas, colours, scene, rng)
    else:
        canvas[:] = tint(scene.background, rng)
        colours[:] = COLOUR_IDS[scene.background]
    for t in scene.things:
        draw_thing(canvas, kinds, colours, t, rng)
    mid = slice(CELL // 2, None, CELL)
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8), kinds[mid, mid], colours[mid, mid]


# ---------------------------------------------------------------- words

def pick(rng, options):
    return options[rng.integers(len(options))]


def article(phrase):
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def spoken(colour, rng):
    return {"gray": pick(rng, ["gray", "grey"]), "cyan": pick(rng, ["cyan", "turquoise"]),
            "purple": pick(rng, ["purple", "purple", "violet"])}.get(colour, colour)


KIND_WORDS = {"circle": ["circle", "circle", "disc", "ball"], "moon": ["moon", "crescent", "crescent moon"], "cross": ["cross", "plus"],
              "face": ["face", "smiley", "smiling face"], "cat": ["cat", "cat", "kitten"], "boat": ["boat", "ship", "sailboat"],
              "diamond": ["diamond", "diamond", "rhombus"], "ring": ["ring", "ring", "donut"], "house": ["house", "house", "home"]}
SIZE_WORDS = {"small": ["small", "small", "little", "tiny"], "big": ["big", "large", "huge"]}


def noun(kind, rng, plural=False):
    word = pick(rng, KIND_WORDS.get(kind, [kind]))
    if plural:
        word = {"fish": "fish", "cross": "crosses", "plus": "pluses", "rhombus": "rhombuses"}.get(word, word + "s")
    return word


def describe(t, rng, size=None, plural=False):
    words = [pick(rng, SIZE_WORDS[size])] if size else []
    if t.texture:
        words.append(t.texture)
    words += [spoken(t.colour, rng), noun(t.kind, rng, plural)]
    return " ".join(words)


def finish(text, scene, rng, tell_background=0.5):
    if not scene.land and rng.random() < tell_background:
        scene.told_background = scene.background
        b = spoken(scene.background, rng)
        text += pick(rng, [f" on {article(b)} background", f" on {article(b)} background", f" on {b}", f", {b} background",
                           f" against {article(b)} background"])
    r = rng.random()
    if r < 0.12:
        text = pick(rng, ["a picture of ", "a drawing of ", "an image of ", "a painting of ", "an illustration of ", "a photo of "]) + text
    elif r < 0.16:
        text = text.removeprefix("a ").removeprefix("an ")
    return with_strangers(text, rng) if rng.random() < 0.06 else text


def with_strangers(text, rng):
    """Adds words that mean nothing here, so that an unknown word in a prompt does not spoil the picture."""
    words = text.split(" ")
    for _ in range(int(rng.integers(1, 3))):
        strange = "".join(pick(rng, "bcdfghjklmnprstvwz") + pick(rng, "aeiou") for _ in range(int(rng.integers(1, 4)))) + pick(rng, ["", "n", "s", "r", "t"])
        at = int(rng.integers(0, 2)) * len(words)
        words.insert(at, pick(rng, ["nice", "beautiful", "cute", "simple", "flat", "pretty", "colorful", "detailed", "very", strange, strange, strange]))
    return " ".join(words)


# ---------------------------------------------------------------- scenes

def contrasting(rng, *used):
    free = [c for c in COLOURS if c not in used and not ({"orange", "brown", "red"} >= {c, *used} and len(used) == 1)]
    return pick(rng, free)


def some_kind(rng, shapes=0.72):
    return pick(rng, list(SHAPES)) if rng.random() < shapes else pick(rng, list(OBJECTS))


PLAIN = ("white", "white", "white", "gray", "black", "cyan", "yellow", "blue")


def background(rng, *used):
    if rng.random() < 0.55:
        free = [c for c in PLAIN if c not in used]
        return pick(rng, free)
    return contrasting(rng, *used)


def natural_colour(kind, rng):
    likely = {"tree": "green", "sun": "yellow", "fish": "orange", "mushroom": "red"}.get(kind)
    return likely if likely and rng.random() < 0.5 else pick(rng, list(COLOURS))


PLACES = {  # name -> (x range, y range as shares, phrases)
    "left": ((0.2, 0.32), (0.35, 0.65), ["on the left", "on the left side", "at the left"]),
    "right": ((0.68, 0.8), (0.35, 0.65), ["on the right", "on the right side", "at the right"]),
    "top": ((0.35, 0.65), (0.2, 0.32), ["at the top"]),
    "bottom": ((0.35, 0.65), (0.68, 0.8), ["at the bottom"]),
    "center": ((0.47, 0.53), (0.47, 0.53), ["in the center", "in the middle"]),
    "top left": ((0.2, 0.28), (0.2, 0.28), ["in the top left", "in the top left corner"]),
    "top right": ((0.72, 0.8), (0.2, 0.28), ["in the top right", "in the top right corner"]),
    "bottom left": ((0.2, 0.28), (0.72, 0.8), ["in the bottom left", "in the bottom left corner"]),
    "bottom right": ((0.72, 0.8), (0.72, 0.8), ["in the bottom right", "in the bottom right corner"]),
}


def radius(rng, size):
    return {"small": rng.uniform(11, 15), "big": rng.uniform(42, 52), None: rng.uniform(24, 34)}[size]


def single(rng):
    kind = some_kind(rng)
    colour = natural_colour(kind, rng)
    size = pick(rng, [None, None, None, "small", "big"])
    texture = pick(rng, TEXTURES) if rng.random() < 0.12 else None
    r = radius(rng, size)
    scene = Scene(background(rng, colour))
    place, phrase = None, ""
    if rng.random() < 0.35 and size != "big":
        place = pick(rng, list(PLACES))
        (xa, xb), (ya, yb), phrases = PLACES[place]
        x, y, phrase = rng.uniform(xa, xb) * SIZE, rng.uniform(ya, yb) * SIZE, " " + pick(rng, phrases)
        r = min(r, 24)
    else:
        slack = max(0, min(10, 60 - r))
        x, y = 64 + rng.uniform(-slack, slack), 64 + rng.uniform(-slack, slack)
    t = Thing(kind, colour, x, y, r, texture)
    scene.things = [t]
    scene.caption = finish(article(describe(t, rng, size)) + phrase, scene, rng)
    scene.facts = dict(type="single", place=place, size=size, texture=texture, kind=kind, colour=colour)
    return scene


RELATIONS = {
    "above": ["above", "above", "over", "on top of"], "below": ["below", "below", "under", "beneath"],
    "left": ["to the left of", "left of", "on the left of"], "right": ["to the right of", "right of", "on the right of"],
    "beside": ["next to", "beside", "and", "and", "with"], "inside": ["inside", "in", "in front of"],
}


def pair(rng):
    relation = pick(rng, ["above", "above", "below", "left", "right", "left", "right", "below", "beside", "inside"])
    ka, kb = some_kind(rng, 0.8), some_kind(rng, 0.8)
    ca = natural_colour(ka, rng)
    cb = contrasting(rng, ca)
    scene = Scene(background(rng, ca, cb))
    ra, rb = rng.uniform(18, 27), rng.uniform(18, 27)
    if relation == "inside":
        kb = pick(rng, ["circle", "square", "hexagon", "heart", "circle", "square"])
        ra, rb = rng.uniform(13, 19), rng.uniform(40, 50)
        x, y = 64 + rng.uniform(-6, 6), 64 + rng.uniform(-6, 6)
        a, b = Thing(ka, ca, x, y + (-4 if kb == "heart" else 0), ra), Thing(kb, cb, x, y, rb)
        scene.things = [b, a]
    else:
        gap = rng.uniform(2, 8)
        d = (ra + rb + gap) / 2
        off, mid = rng.uniform(-7, 7), 64 + rng.uniform(-5, 5)
        first, second = (mid - d, mid + d)
        horizontal = relation in ("left", "right") or relation == "beside"
        swap = relation in ("below", "right") or (relation == "beside" and rng.random() < 0.5)
        (pa, pb) = (second, first) if swap else (first, second)
        oa, ob = 64 + off + rng.uniform(-3, 3), 64 + off + rng.uniform(-3, 3)
        (ax, ay, bx, by) = (pa, oa, pb, ob) if horizontal else (oa, pa, ob, pb)
        a, b = Thing(ka, ca, ax, ay, ra), Thing(kb, cb, bx, by, rb)
        scene.things = [a, b]
    text = f"{article(describe(a, rng))} {pick(rng, RELATIONS[relation])} {article(describe(b, rng))}"
    scene.caption = finish(text, scene, rng, 0.35)
    scene.facts = dict(type="pair", relation=relation, kind=ka, colour=ca, kind2=kb, colour2=cb)
    return scene


LAYOUTS = {2: [(0.3, 0.5), (0.7, 0.5)], 3: [(0.2, 0.5), (0.5, 0.5), (0.8, 0.5)], 4: [(0.3, 0.3), (0.7, 0.3), (0.3, 0.7), (0.7, 0.7)],
           5: [(0.25, 0.25), (0.75, 0.25), (0.5, 0.5), (0.25, 0.75), (0.75, 0.75)],
           6: [(0.2, 0.32), (0.5, 0.32), (0.8, 0.32), (0.2, 0.68), (0.5, 0.68), (0.8, 0.68)]}


def count(rng):
    n = int(rng.integers(2, 7))
    kind, colour = some_kind(rng, 0.8), pick(rng, list(COLOURS))
    scene = Scene(background(rng, colour))
    r = {2: 22, 3: 17, 4: 19, 5: 15, 6: 15}[n] * rng.uniform(0.85, 1.08)
    dx, dy = rng.uniform(-4, 4, 2)
    scene.things = [Thing(kind, colour, x * SIZE + dx + rng.uniform(-2, 2), y * SIZE + dy + rng.uniform(-2, 2), r) for x, y in LAYOUTS[n]]
    scene.caption = finish(f"{NUMBERS[n]} {describe(scene.things[0], rng, plural=True)}", scene, rng, 0.4)
    scene.facts = dict(type="count", count=NUMBERS[n], kind=kind, colour=colour)
    return scene


SKIES = {"day": ((70, 150, 235), (170, 215, 250)), "sunset": ((120, 70, 150), (250, 160, 90)), "night": ((14, 18, 52), (40, 48, 104))}
GROUNDS = {"hill": ((78, 168, 74), ["on a hill", "on a green hill", "in a meadow", "on the grass"]),
           "snow": ((236, 242, 248), ["in the snow", "on snow", "in winter"]),
           "desert": ((230, 196, 120), ["in the desert", "on the sand", "on a beach"]),
           "sea": ((32, 96, 176), ["on the sea", "on the water", "on the ocean"])}
WHEN = {"day": ["", "", " by day", " under a blue sky"], "sunset": [" at sunset", " in the evening"], "night": [" at night", " at night", " under the stars"]}


def landscape(rng):
    when = pick(rng, ["day", "day", "sunset", "night"])
    where = pick(rng, ["hill", "hill", "snow", "desert", "sea"])
    horizon = rng.uniform(74, 88)
    scene = Scene("", land=(SKIES[when], GROUNDS[where][0], horizon, int(rng.integers(6, 14)) if when == "night" else 0))
    kinds = ["boat"] if where == "sea" else ["house", "tree", "flower", "mushroom", "cat", "house", "tree"]
    stand = []
    for x in ([0.5] if rng.random() < 0.5 else [0.28, 0.72]):
        kind = pick(rng, kinds)
        r = rng.uniform(19, 26)
        t = Thing(kind, natural_colour(kind, rng), (x + rng.uniform(-0.06, 0.06)) * SIZE, horizon - r * 0.62, r)
        stand.append(t)
    above = []
    if rng.random() < 0.6:
        kind = {"day": pick(rng, ["sun", "cloud"]), "sunset": "sun", "night": "moon"}[when]
        colour = {"sun": pick(rng, ["yellow", "orange", "red"]), "cloud": "white", "moon": pick(rng, ["yellow", "white"])}[kind]
        above.append(Thing(kind, colour, rng.uniform(22, 106), rng.uniform(16, 26), rng.uniform(11, 15)))
    scene.things = above + stand
    told = " and ".join(article(describe(t, rng)) for t in stand)
    spoken_when = pick(rng, WHEN[when])
    text = f"{told} {pick(rng, GROUNDS[where][1])}{spoken_when}"
    if above:
        text += pick(rng, [" with ", " and "]) + article(describe(above[0], rng))
    scene.caption = finish(text, scene, rng)
    second = stand[1] if len(stand) > 1 else None
    scene.facts = dict(type="landscape", when=when, where=where, kind=stand[0].kind, colour=stand[0].colour)
    if second:
        scene.facts |= dict(kind2=second.kind, colour2=second.colour)
    if above:
        scene.facts |= dict(above=above[0].kind)
    return scene


# What a caption can say: name -> the values it can take; index 0 is "nothing said".
FACTS = {
    "type": ("single", "pair", "count", "landscape"), "kind": tuple(KINDS), "colour": tuple(COLOURS), "kind2": tuple(KINDS), "colour2": tuple(COLOURS),
    "size": ("small", "big"), "texture": TEXTURES, "place": tuple(PLACES), "relation": tuple(RELATIONS), "count": NUMBERS[2:],
    "when": tuple(SKIES), "where": tuple(GROUNDS), "above": ("sun", "cloud", "moon"), "background": tuple(COLOURS),
}


def fact_ids(scene):
    """One index per entry of FACTS; 0 where the caption says nothing."""
    told = scene.facts | dict(background=scene.told_background)
    return [values.index(told[name]) + 1 if told.get(name) else 0 for name, values in FACTS.items()]


MIX = ((0.40, single), (0.38, pair), (0.10, count), (0.12, landscape))


def sample(rng):
    r = rng.random()
    for share, make in MIX:
        if r < share:
            return make(rng)
        r -= share
    return single(rng)
