"""Micrographs with a data bar as makers of microscopes draw it, and such as only look like it."""

import numpy as np

from builders import texture

DIGITS = [
    "01110 10001 10011 10101 11001 10001 01110", "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111", "11110 00001 00001 01110 00001 00001 11110",
    "00010 00110 01010 10010 11111 00010 00010", "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110", "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110", "01110 10001 10001 01111 00001 00010 01100",
]  # fmt: skip


TOP = {np.uint8: 255, np.uint16: 4095}
"""Where detectors saturate."""


def text(digits, scale):
    """Digits as a bool array."""
    glyphs = [
        np.pad(np.array([[*map(int, line)] for line in DIGITS[int(d)].split()]), ((0, 0), (0, 1)))
        if d != " " else np.zeros((7, 6), int)
        for d in digits
    ]  # fmt: skip
    return np.kron(np.concatenate(glyphs, axis=1), np.ones((scale, scale))).astype(bool)


def image(seed=0, shape=(430, 640), dtype=np.uint8, mean=110, deviation=30):
    noise = np.random.default_rng(seed).normal(0, 0.3, shape)
    grey = mean + deviation * (texture(seed, shape) + noise)
    return np.clip(grey, 0, TOP[dtype]).astype(dtype)


def bar(columns, height, ground, ink, scale=2, lines=1, dtype=np.uint8):
    """A bar with lines of text, and a scale bar at the right."""
    made = np.full((height, columns), ground, dtype)
    for line in range(lines):
        written = text("5 00  10 4  2500  9 8 1236", scale)[:, : columns - 160]
        top = (height - lines * (written.shape[0] + 4)) // 2 + line * (written.shape[0] + 4) + 2
        made[top : top + written.shape[0], 12 : 12 + written.shape[1]][written] = ink
    made[height // 2 : height // 2 + 3, columns - 120 : columns - 20] = ink
    for end in (columns - 120, columns - 21):
        made[height // 2 - 4 : height // 2 + 7, end : end + 2] = ink
    return made


def softened(made):
    """Text with soft edges: each pixel the mean of four."""
    grey = np.pad(made.astype(float), ((0, 1), (0, 1)), mode="edge")
    return ((grey[1:, 1:] + grey[1:, :-1] + grey[:-1, 1:] + grey[:-1, :-1]) / 4).astype(made.dtype)


def fei(columns=640):
    """White on black, framed and divided by white lines, a logo of many greys."""
    made = bar(columns, 46, 0, 255)
    made[0], made[-1], made[:, 200:201] = 255, 255, 255
    made[8:38, 560:600] = np.linspace(20, 240, 40).astype(np.uint8)
    return made


def zeiss(columns=640):
    """Black on white, two lines of text with soft edges."""
    return softened(bar(columns, 60, 255, 0, lines=2))


def jeol(columns=640):
    """White on black, small text, no frame."""
    return bar(columns, 32, 0, 255, scale=1)


def hitachi(columns=640):
    """A line that runs from black to white above a grey ground."""
    made = bar(columns, 50, 40, 255)
    made[:2] = np.linspace(0, 255, columns).astype(np.uint8)
    return made


MAKERS = {"FEI": fei, "Zeiss": zeiss, "JEOL": jeol, "Hitachi": hitachi}


def with_bars():
    """(name, picture, rows of its bar) of many."""
    for seed in range(3):
        for name, make in MAKERS.items():
            yield f"{name} {seed}", np.concatenate([image(seed), make()]), len(make())
    for name, make in MAKERS.items():
        dark = image(5, mean=-10, deviation=40)  # black in half of its pixels
        yield f"{name}, dark image", np.concatenate([dark, make()]), len(make())
        burnt = image(6, mean=250, deviation=40)
        yield f"{name}, burnt image", np.concatenate([burnt, make()]), len(make())
    deep = bar(640, 46, 0, 65_535, dtype=np.uint16)
    yield "16 bits", np.concatenate([image(7, dtype=np.uint16, mean=2000), deep]), 46
    grey = image(8).astype(np.float32) + np.float32(0.25)
    yield "float", np.concatenate([grey, bar(640, 46, 0, 1).astype(np.float32)]), 46


def random_bars(count, seed=1):
    """(picture, rows of its bar) of bars and micrographs of all sorts."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        columns, dtype = int(rng.choice([512, 640, 800])), rng.choice([np.uint8, np.uint16])
        shape, top = (int(columns * rng.uniform(0.6, 1)), columns), TOP[dtype]
        mean, deviation = rng.uniform(-0.1, 1.1) * top, rng.uniform(0.03, 0.3) * top
        ground, ink = [(0, 255), (255, 0), (20, 230), (200, 10), (0, 200)][rng.integers(5)]
        if dtype == np.uint16:
            ground, ink = ground * 257, ink * 257
        height, scale = int(rng.integers(24, 72)), int(rng.integers(1, 3))
        lines = 1 if height < 44 else int(rng.integers(1, 3))
        made = bar(columns, height, ground, ink, scale, lines, dtype)
        made = softened(made) if rng.random() < 0.3 else made
        for line in (np.s_[0], np.s_[-1], np.s_[:, columns // 3]):
            made[line] = ink if rng.random() < 0.3 else made[line]
        if rng.random() < 0.15:
            made[:2] = np.linspace(0, top, columns).astype(dtype)
        yield np.concatenate([image(number, shape, dtype, mean, deviation), made]), height


def without():
    """(name, picture) of many that have none, but something like it."""
    yield "nothing", image(1)
    yield "few grey levels", image(2) // 64
    stopped = image(3)
    stopped[380:] = 0
    yield "a scan that was stopped", stopped
    yield "one that was stopped, and began with a bright line", _with(stopped, (380, 255))
    for name, level in (("black", 0), ("white", 255)):
        for slope in (0.02, 0.3):
            yield f"a {name} region, {slope}", _region(level, slope)
            yield f"a {name} region with particles, {slope}", _particles(_region(level, slope))
    yield "a burnt corner", np.clip(image(4).astype(int) + _corner(), 0, 255).astype(np.uint8)
    soft = image(5).astype(float)
    soft[360:] *= np.linspace(1, 0, 70)[:, None]
    yield "shade at the bottom", soft.astype(np.uint8)
    wide = image(6)
    wide[:, 500:] = 0
    yield "a black side", wide
    yield "a frame", np.pad(image(7), 10)
    yield "text in the picture", _labelled(image(8))
    yield "stripes", np.repeat(np.repeat(image(9)[::8, ::64], 8, axis=0), 64, axis=1)
    yield "constant", np.zeros((430, 640), np.uint8)
    yield "small", image(10)[:20, :20]
    yield "a row", image(11)[:1]


def _with(picture, line):
    picture = picture.copy()
    picture[line[0]] = line[1]
    return picture


def _region(level, slope):
    made, (rows, columns) = image(12), np.indices((430, 640))
    made[rows > 350 + slope * columns] = level
    return made


def _particles(made):
    made, rng = made.copy(), np.random.default_rng(0)
    rows, columns = np.indices(made.shape)
    for row, column in zip(rng.integers(360, 425, 12), rng.integers(0, 640, 12), strict=True):
        made[np.hypot(rows - row, columns - column) < 5] = 255 - made[-1, 0]
    return made


def _corner():
    rows, columns = np.indices((430, 640))
    return np.where(np.hypot(rows - 430, columns - 640) < 300, 400, 0)


def _labelled(made):
    made = made.copy()
    written = text("500 10", 3)
    made[395 : 395 + written.shape[0], 20 : 20 + written.shape[1]][written] = 255
    made[400:404, 500:600] = 255
    return made
