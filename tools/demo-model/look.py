"""What is in a picture, by its pixels alone: segments against the background, their colours, shapes, places."""
import numpy as np
from scipy import ndimage

from shapes import COLOURS, KINDS

NAMES = list(COLOURS)
VALUES = np.array([COLOURS[n] for n in NAMES], np.float32)
GRID = (np.mgrid[0:32, 0:32].astype(np.float32)[::-1] + 0.5) / 16 - 1


def template(kind):
    """The kind's outline, stretched so that its longer side spans 32 pixels."""
    fine = (np.mgrid[0:256, 0:256].astype(np.float32)[::-1] + 0.5) / 100 - 1.28
    solid = np.minimum.reduce([d(*fine) for d, _ in KINDS[kind]]) < 0
    return outline(solid)


def outline(mask):
    """A mask's bounding box, centred in a square of its longer side, sampled at 32 x 32."""
    ys, xs = np.nonzero(mask)
    y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    half = max(y1 - y0, x1 - x0) / 2
    sx = ((x0 + x1) / 2 + GRID[0] * half).astype(int)
    sy = ((y0 + y1) / 2 + GRID[1] * half).astype(int)
    inside = (sx >= 0) & (sy >= 0) & (sx < mask.shape[1]) & (sy < mask.shape[0])
    return np.where(inside, mask[np.clip(sy, 0, mask.shape[0] - 1), np.clip(sx, 0, mask.shape[1] - 1)], False)


TEMPLATES = {kind: template(kind) for kind in KINDS}


def shape_of(mask, among):
    found = outline(mask)
    score = {k: (found & TEMPLATES[k]).sum() / (found | TEMPLATES[k]).sum() for k in among}
    return max(score, key=score.get), max(score.values())


def colour_of(image, mask):
    core = ndimage.binary_erosion(mask, iterations=2)
    core = core if core.sum() >= 12 else mask
    return NAMES[int(np.argmin(((VALUES - np.median(image[core].astype(np.float32), 0)) ** 2).sum(1)))]


def background_of(image):
    frame = np.concatenate([image[:3].reshape(-1, 3), image[-3:].reshape(-1, 3), image[:, :3].reshape(-1, 3), image[:, -3:].reshape(-1, 3)])
    return np.median(frame.astype(np.float32), 0)


def segments(image, least=40):
    """Connected regions that differ from the background, largest first; holes stay holes."""
    away = np.sqrt(((image.astype(np.float32) - background_of(image)) ** 2).sum(2)) > 48
    labels, n = ndimage.label(away)
    masks = [labels == i + 1 for i in range(n)]
    return sorted((m for m in masks if m.sum() >= least), key=lambda m: -m.sum())


def region(image, colour, least=60):
    """The largest region whose pixels are nearest to `colour` and are not background."""
    pixels = image.astype(np.float32)
    nearest = ((pixels[:, :, None] - VALUES) ** 2).sum(3).argmin(2) == NAMES.index(colour)
    away = np.sqrt(((pixels - background_of(image)) ** 2).sum(2)) > 48
    labels, n = ndimage.label(nearest & away)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, range(1, n + 1)) if n else []
    return labels == int(np.argmax(sizes)) + 1 if n and max(sizes) >= least else None


def centre(mask):
    ys, xs = np.nonzero(mask)
    return xs.mean(), ys.mean()


def extent(mask):
    ys, xs = np.nonzero(mask)
    return max(np.ptp(ys), np.ptp(xs)) + 1


def related(relation, a, b):
    """Whether the centre of mask `a` stands in `relation` to that of `b`: the right way, and more that way than the other."""
    (ax, ay), (bx, by) = centre(a), centre(b)
    along, across = ((by - ay, bx - ax) if relation in ("above", "below") else (bx - ax, by - ay))
    along = along if relation in ("above", "left") else -along
    return along > 6 and along > abs(across)
