"""Clutter beside a digit: the table beyond the sheet, a pen, a finger."""

import numpy as np

from appliance.reading import Array

Box = tuple[int, int, int, int]


def add_clutter(picture: Array, box: Box | None, strength: float, rng: np.random.Generator) -> None:
    """Draw things at the borders of a picture, in place, and never on `box`.

    The picture is greys float32 (h, w) in 0…1; `strength` 0…1 decides how many and how dark.
    """
    height, width = picture.shape
    x0, y0, x1, y1 = box or (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
    # The room between the digit and each border, in pixels.
    rooms = {"left": x0, "top": y0, "right": width - x1, "bottom": height - y1}
    sides = [side for side, room in rooms.items() if room >= 6]
    rng.shuffle(sides)
    if sides and rng.random() < 0.4 + 0.6 * strength:
        side = sides[0]
        _add_table(_view_from(picture, side), rooms[side], strength, rng)
        if strength > 0.6 and len(sides) > 1:
            _add_table(_view_from(picture, sides[1]), rooms[sides[1]], strength, rng)
    if sides and rng.random() < strength:
        side = sides[-1]
        _add_pen(_view_from(picture, side), rooms[side], rng)
    if sides and rng.random() < strength:
        side = sides[len(sides) // 2]
        _add_finger(_view_from(picture, side), rooms[side], rng)


def _view_from(picture: Array, side: str) -> Array:
    """Return a view of the picture with `side` at the top."""
    if side in ("left", "right"):
        picture = picture.T
    return picture[::-1] if side in ("bottom", "right") else picture


def _add_table(picture: Array, room: int, strength: float, rng: np.random.Generator) -> None:
    """Let the sheet end within `room` rows of the top, on a table that is darker or lighter."""
    length = picture.shape[1]
    at = room * rng.uniform(0.15, 0.75)
    slope = rng.uniform(-0.2, 0.2) * room / length
    edge = at + slope * (np.arange(length, dtype=np.float32) - length / 2)
    off = edge[None, :] - np.arange(room, dtype=np.float32)[:, None]
    share = np.clip(off + 0.5, 0, 1).astype(np.float32)
    grey = np.float32(rng.uniform(0.45, 0.7) * (1 - 0.8 * strength * rng.uniform(0.5, 1)))
    grain = np.float32(0.02) * rng.standard_normal((room, 1), dtype=np.float32)
    # The sheet throws a narrow shadow where it ends.
    rim = 1 - np.float32(0.4 * strength) * np.exp(-np.maximum(off, 0) / np.float32(2.0)) * share
    strip = picture[:room]
    strip += (grey + grain - strip) * share
    strip *= rim


def _add_pen(picture: Array, room: int, rng: np.random.Generator) -> None:
    """Lay a pen along the top, within `room` rows."""
    length = picture.shape[1]
    thick = min(room * rng.uniform(0.15, 0.3), 0.05 * length + 2)
    start, end = sorted(rng.uniform(-0.2, 1.2, 2) * length)
    y0, y1 = rng.uniform(thick / 2, max(room * 0.9 - thick / 2, thick / 2 + 0.1), 2)
    grey = float(rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.3, 0.6)]))
    off, t = _distance_to_segment(room, length, (start, y0), (max(end, start + 0.3 * length), y1))
    narrow = thick / 2 * np.clip((1 - t) * 12, 0.15, 1)
    share = np.clip(narrow - off + 0.5, 0, 1)
    shine = grey + 0.25 * np.exp(-((off / (0.2 * thick)) ** 2))
    strip = picture[:room]
    strip += ((shine - strip) * share).astype(np.float32)


def _add_finger(picture: Array, room: int, rng: np.random.Generator) -> None:
    """Let a finger reach in from the top, as far as `room` rows allow."""
    length = picture.shape[1]
    thick = min(0.18 * length, 1.2 * room)
    middle = rng.uniform(0.1, 0.9) * length
    depth = max(room * rng.uniform(0.4, 0.9) - thick / 2, 0.5)
    lean = rng.uniform(-0.4, 0.4) * depth
    off, _ = _distance_to_segment(room, length, (middle - lean, -thick), (middle, depth))
    share = np.clip(thick / 2 - off + 0.5, 0, 1)
    skin = rng.uniform(0.3, 0.75) * np.sqrt(np.maximum(1.05 - (off / (0.55 * thick)) ** 2, 0.2))
    strip = picture[:room]
    strip += ((skin - strip) * share).astype(np.float32)


def _distance_to_segment(
    rows: int, columns: int, start: tuple[float, float], end: tuple[float, float]
) -> tuple[Array, Array]:
    """Return each pixel's distance to the segment from `start` to `end` (x, y).

    Beside it, where along the segment the nearest point is: 0 at the start, 1 at the end.
    """
    y, x = np.ogrid[0:rows, 0:columns]
    across, down = end[0] - start[0], end[1] - start[1]
    t = ((x - start[0]) * across + (y - start[1]) * down) / max(across * across + down * down, 1e-6)
    place: Array = np.clip(t, 0, 1).astype(np.float32)
    off = np.hypot(x - start[0] - place * across, y - start[1] - place * down)
    return off.astype(np.float32), place
