"""What can be drawn: signed distance functions in unit coordinates, composed into coloured layers.

Every drawable fits a disc of radius one around the origin, x to the right, y down. A distance is negative
inside; it is close enough to Euclidean near the outline that `clip(0.5 - distance * radius_px)` is a smooth edge.
"""
import numpy as np

# Names that captions use, and the sRGB values that pictures use.
COLOURS = {
    "red": (214, 38, 40), "orange": (245, 136, 30), "yellow": (248, 214, 48), "green": (48, 160, 66),
    "blue": (36, 88, 214), "purple": (132, 56, 176), "pink": (248, 140, 184), "brown": (126, 80, 44),
    "black": (26, 26, 30), "white": (246, 246, 244), "gray": (142, 144, 148), "cyan": (66, 200, 214),
}


def circle(x, y, r=1.0, cx=0.0, cy=0.0):
    return np.hypot(x - cx, y - cy) - r


def ellipse(x, y, rx, ry, cx=0.0, cy=0.0):
    return (np.hypot((x - cx) / rx, (y - cy) / ry) - 1.0) * min(rx, ry)


def box(x, y, hx, hy, cx=0.0, cy=0.0):
    return np.maximum(np.abs(x - cx) - hx, np.abs(y - cy) - hy)


def polygon(x, y, points):
    """Any simple polygon: distance to the nearest edge, its sign from the crossing number."""
    p = np.asarray(points, np.float32)
    d = np.full(x.shape, 1e9, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(p, np.roll(p, -1, 0)):
        ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
        t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        d = np.minimum(d, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        if ey != 0:
            inside ^= ((ay > y) != (by > y)) & (x < ex * (y - ay) / ey + ax)
    return np.where(inside, -1.0, 1.0) * np.sqrt(d)


def around(n, r=1.0, turn=-90.0):
    a = np.radians(turn + np.arange(n) * 360.0 / n)
    return np.stack([r * np.cos(a), r * np.sin(a)], 1)


def star_points():
    out, inner = around(5), around(5, 0.44, -54.0)
    return np.stack([out, inner], 1).reshape(-1, 2)


def heart(x, y):
    lobes = np.minimum(circle(x, y, 0.52, -0.44, -0.34), circle(x, y, 0.52, 0.44, -0.34))
    return np.minimum(lobes, polygon(x, y, [(-0.9, -0.12), (0, -0.45), (0.9, -0.12), (0, 0.95)]))


def either(*d):
    return np.minimum.reduce(d)


def without(a, b):
    return np.maximum(a, -b)


def cloud(x, y):
    return either(circle(x, y, 0.42, -0.5, 0.12), circle(x, y, 0.55, 0.0, -0.12), circle(x, y, 0.4, 0.52, 0.14),
                  box(x, y, 0.55, 0.2, 0.0, 0.34))


# kind -> [(distance function, colour)]: "main" is the colour that the caption names.
SHAPES = {
    "circle": [(circle, "main")],
    "square": [(lambda x, y: box(x, y, 0.84, 0.84), "main")],
    "triangle": [(lambda x, y: polygon(x, y, [(0, -0.92), (0.98, 0.78), (-0.98, 0.78)]), "main")],
    "star": [(lambda x, y: polygon(x, y, star_points()), "main")],
    "heart": [(heart, "main")],
    "diamond": [(lambda x, y: polygon(x, y, [(0, -1), (0.68, 0), (0, 1), (-0.68, 0)]), "main")],
    "ring": [(lambda x, y: np.abs(circle(x, y, 0.72)) - 0.26, "main")],
    "cross": [(lambda x, y: either(box(x, y, 0.98, 0.32), box(x, y, 0.32, 0.98)), "main")],
    "moon": [(lambda x, y: without(circle(x, y), circle(x, y, 0.86, 0.52, -0.12)), "main")],
    "hexagon": [(lambda x, y: polygon(x, y, around(6, 0.98, 0.0)), "main")],
}
OBJECTS = {
    "house": [(lambda x, y: box(x, y, 0.68, 0.5, 0, 0.42), "main"),
              (lambda x, y: polygon(x, y, [(0, -0.95), (0.95, -0.05), (-0.95, -0.05)]), (150, 60, 44)),
              (lambda x, y: box(x, y, 0.17, 0.3, 0.0, 0.62), (92, 58, 36))],
    "tree": [(lambda x, y: box(x, y, 0.16, 0.45, 0, 0.55), (118, 74, 40)),
             (lambda x, y: circle(x, y, 0.66, 0, -0.3), "main")],
    "flower": [(lambda x, y: box(x, y, 0.09, 0.5, 0, 0.5), (48, 150, 60)),
               (lambda x, y: either(*[circle(x, y, 0.32, px, py - 0.32) for px, py in around(5, 0.4)]), "main"),
               (lambda x, y: circle(x, y, 0.24, 0, -0.32), (250, 210, 60))],
    "fish": [(lambda x, y: either(ellipse(x, y, 0.68, 0.48, -0.22, 0), polygon(x, y, [(0.3, 0), (0.98, -0.5), (0.98, 0.5)])), "main"),
             (lambda x, y: circle(x, y, 0.11, -0.55, -0.12), (24, 24, 28))],
    "mushroom": [(lambda x, y: box(x, y, 0.24, 0.5, 0, 0.48), (240, 230, 208)),
                 (lambda x, y: np.maximum(ellipse(x, y, 0.95, 0.85, 0, 0.05), y - 0.08), "main")],
    "cloud": [(cloud, "main")],
    "boat": [(lambda x, y: box(x, y, 0.05, 0.7, 0.0, -0.2), (96, 64, 40)),
             (lambda x, y: polygon(x, y, [(0.06, -0.9), (0.75, 0.22), (0.06, 0.22)]), (246, 246, 244)),
             (lambda x, y: polygon(x, y, [(-0.95, 0.36), (0.95, 0.36), (0.6, 0.86), (-0.6, 0.86)]), "main")],
    "face": [(circle, "main"),
             (lambda x, y: either(circle(x, y, 0.14, -0.36, -0.25), circle(x, y, 0.14, 0.36, -0.25)), (24, 24, 28)),
             (lambda x, y: np.maximum(np.abs(circle(x, y, 0.55, 0, 0.05)) - 0.09, 0.2 - y), (24, 24, 28))],
    "cat": [(lambda x, y: either(ellipse(x, y, 0.86, 0.72, 0, 0.2), polygon(x, y, [(-0.82, -0.95), (-0.12, -0.42), (-0.8, 0.1)]),
                                 polygon(x, y, [(0.82, -0.95), (0.12, -0.42), (0.8, 0.1)])), "main"),
            (lambda x, y: either(circle(x, y, 0.13, -0.34, 0.08), circle(x, y, 0.13, 0.34, 0.08)), (24, 24, 28)),
            (lambda x, y: polygon(x, y, [(-0.12, 0.34), (0.12, 0.34), (0, 0.5)]), (240, 130, 150))],
    "sun": [(lambda x, y: either(circle(x, y, 0.58), *[polygon(x, y, [(0.98 * c, 0.98 * s), (0.6 * c - 0.2 * s, 0.6 * s + 0.2 * c),
            (0.6 * c + 0.2 * s, 0.6 * s - 0.2 * c)]) for c, s in around(8)]), "main")],
}
KINDS = {**SHAPES, **OBJECTS}
TEXTURES = ("striped", "spotted", "checkered")


def texture_mask(name, px, py):
    """Where the second colour of a texture shows; `px`, `py` in pixels from the object's centre."""
    if name == "striped":
        return np.clip(0.5 + (np.abs((px + py) % 18 - 9) - 4.5), 0, 1)
    if name == "spotted":
        return np.clip(0.5 + 4.2 - np.hypot((px + 8) % 16 - 8, (py + 8) % 16 - 8), 0, 1)
    return (((px // 11).astype(int) + (py // 11).astype(int)) % 2).astype(np.float32)
