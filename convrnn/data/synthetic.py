"""Problems that are made, not collected, each with an answer that is known: `adding`, `copy`, `motif-order`. Knows no model and no file.

A row is a pure function of the problem, its length, its part and its number: every draw comes from raw 64-bit words of PCG64, which NumPy
promises for ever (NEP 19), under seeds that no user's own data can have been drawn with.

Shape legend: N rows, T frames, C channels, W the frames of a window.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.data.examples import Examples, Source, Target, Task

Floats = NDArray[np.float64]
Part = Literal["train", "test"]

LONGEST = 100_000
"""Frames of a row, at most."""

_OWN = b"convrnn synthetic"
"""In front of every seed, as in `split.py`: not one that somebody draws data with."""


class Draws:
    """Uniform, normal and whole numbers for one row."""

    def __init__(self, problem: str, length: int, part: Part, row: int) -> None:
        words = tuple(int.from_bytes(text) for text in (_OWN, problem.encode(), part.encode()))
        self._source = np.random.PCG64(np.random.SeedSequence((*words, length, row)))

    def uniform(self, count: int) -> Floats:
        """Numbers in [0, 1), multiples of 2^-53."""
        return (self._source.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, bound: int, count: int) -> NDArray[np.int64]:
        """Whole numbers in 0..bound-1, equally likely but for some 1e-15."""
        return np.floor(self.uniform(count) * bound).astype(np.int64)

    def normal(self, count: int) -> Floats:
        """Numbers of mean 0 and variance 1 (Box & Muller 1958)."""
        radius = np.sqrt(-2 * np.log1p(-self.uniform(count)))
        return radius * np.cos(2 * math.pi * self.uniform(count))


@dataclass(frozen=True)
class Problem:
    """A family of problems, one for each length.

    Attributes:
        name: `NAME` or `NAME-T` on the command line.
        description: one line that holds for every length T, with the answer that is known.
        task: what is learned.
        source: the paper.
        length: the usual one.
        shortest: the least that makes sense.
        rows: to learn from and to measure on.
        channels: their names.
        target: what is asked for.
        make: from draws and length to frames `[T, C]` and target.
    """

    name: str
    description: str
    task: Task
    source: str
    length: int
    shortest: int
    rows: tuple[int, int]
    channels: tuple[str, ...]
    target: str
    make: Callable[[Draws, int, int], tuple[Floats, Target]]

    def load(self, length: int) -> Source:
        """The problem at a length, its rows made anew."""
        name = f"{self.name}-{length}"
        train, test = (self._part(name, length, part, count) for part, count in zip(("train", "test"), self.rows, strict=True))
        return Source(name, train, None, test)

    def _part(self, name: str, length: int, part: Part, count: int) -> Examples:
        rows = [self.make(Draws(self.name, length, part, row), length, row) for row in range(count)]
        return Examples(
            "series",
            [frames.astype(np.float32) for frames, _ in rows],
            [target for _, target in rows],
            [f"{name}:{part}:{row}" for row in range(1, count + 1)],
            self.channels,
            target_name=self.target,
            task=self.task,
        )


# ---- adding


def _adding(draws: Draws, length: int, row: int) -> tuple[Floats, Target]:
    """Numbers in [0, 1) and two marks, one in each half of the row: the sum of the two marked numbers."""
    values, half = draws.uniform(length), length // 2
    marks = np.zeros(length)
    first, second = int(draws.below(half, 1)[0]), half + int(draws.below(length - half, 1)[0])
    marks[[first, second]] = 1
    return np.stack([values, marks], 1), float(values[first] + values[second])


# ---- copy

SYMBOLS = "abcdefgh"
REMEMBERED = 5


def _copy(draws: Draws, length: int, row: int) -> tuple[Floats, Target]:
    """Five symbols, `length` empty frames, and a last frame that asks for one of the five."""
    symbols, asked = draws.below(len(SYMBOLS), REMEMBERED), int(draws.below(REMEMBERED, 1)[0])
    frames = np.zeros((REMEMBERED + length + 1, len(SYMBOLS) + REMEMBERED))
    frames[np.arange(REMEMBERED), symbols] = 1
    frames[-1, len(SYMBOLS) + asked] = 1
    return frames, SYMBOLS[symbols[asked]]


# ---- motif-order

PERIODS = {"a": 3.0, "b": 4.0, "c": 6.0}
"""Frames of a cycle of each tone."""

TONE = 16
"""Frames that a tone lasts."""

WINDOW = 32
"""No window of so many frames sees two tones, and no two orders of the same tones differ in the windows that they hold."""

PITCH = 96
"""Frames from the block of one tone to the next, at least; more of them come in steps of `STEP`, so that windows set 2, 3, 4, 6, 8, 12 or
24 frames apart, as those behind pooling are, meet each tone in the same places too."""

STEP = 24
NOISE = 0.5
"""Deviation of the noise; that of a tone is 1."""

ORDERS = ("abc", "acb", "bac", "bca", "cab", "cba")


def motif_order(draws: Draws, length: int, order: str) -> Floats:
    """A row `[T]` with its three tones in an order; the same draws in two orders give twins.

    A tone lies in the middle of a block, with `WINDOW - 1` frames of noise on either side that are the same in all three blocks of the row.
    Twins hold the same three blocks in other places, so whatever a window of `WINDOW` frames or fewer can see, either both hold or
    none, and equally often: no mean, maximum or other symmetric function of window answers can tell them apart.
    """
    spare = int(draws.below(length - 3 * PITCH + 1, 1)[0])
    gaps = [PITCH - TONE - 2 * (WINDOW - 1), PITCH - TONE - 2 * (WINDOW - 1)]
    for place in range(2):
        steps = int(draws.below(spare // STEP + 1, 1)[0])
        gaps[place] += steps * STEP
        spare -= steps * STEP
    before = int(draws.below(spare + 1, 1)[0])
    after = spare - before + PITCH - TONE - 2 * (WINDOW - 1)
    left, right = NOISE * draws.normal(WINDOW - 1), NOISE * draws.normal(WINDOW - 1)
    tones = {name: _tone(draws, period) for name, period in PERIODS.items()}
    blocks = [np.concatenate([left, tones[name], right]) for name in order]
    quiet = [NOISE * draws.normal(frames) for frames in (before, *gaps, after)]
    return np.concatenate([quiet[0], blocks[0], quiet[1], blocks[1], quiet[2], blocks[2], quiet[3]])


def _tone(draws: Draws, period: float) -> Floats:
    """A sine of a random phase and power 1, in noise."""
    phase = float(draws.uniform(1)[0])
    return math.sqrt(2) * np.sin(2 * math.pi * (np.arange(TONE) / period + phase)) + NOISE * draws.normal(TONE)


def _motif_order(draws: Draws, length: int, row: int) -> tuple[Floats, Target]:
    """Each order comes equally often."""
    order = ORDERS[row % len(ORDERS)]
    return motif_order(draws, length, order)[:, None], order


# ---- their names

_PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            "adding",
            "adding-T: 10,000 + 1,000 rows of T (100) numbers in 0..1, two of them marked: their sum; guessing 1 has an mse of 1/6",
            "regress",
            "Hochreiter & Schmidhuber 1997; uniform numbers and two marks as in Le, Jaitly & Hinton 2015; made here",
            100,
            2,
            (10_000, 1_000),
            ("number", "mark"),
            "sum",
            _adding,
        ),
        Problem(
            "copy",
            "copy-T: 10,000 + 1,000 rows of 5 symbols of 8, T (50) empty frames, a question: which of the 5 was it; without memory 0.125",
            "classify",
            "after Hochreiter & Schmidhuber 1997 and Graves, Wayne & Danihelka 2014, one symbol asked for; made here",
            50,
            1,
            (10_000, 1_000),
            (*SYMBOLS, *(f"asks for {place}" for place in range(1, REMEMBERED + 1))),
            "symbol",
            _copy,
        ),
        Problem(
            "motif-order",
            "motif-order-T: 4,002 + 1,002 noisy rows of 288 to T (400) frames, three tones: in which of 6 orders; known 1.0, chance 0.167",
            "classify",
            "made here, so that neither local patterns without order nor order without local patterns suffice",
            400,
            3 * PITCH,
            (4_002, 1_002),
            ("value",),
            "order",
            _motif_order,
        ),
    )
}


def problems() -> tuple[Problem, ...]:
    """All of them, by name."""
    return tuple(_PROBLEMS[name] for name in sorted(_PROBLEMS))


def asked(name: str) -> tuple[Problem, int] | None:
    """The problem and length of `NAME` or `NAME-T`; None: it is none of these.

    Raises:
        DataError: a length that the problem cannot have.
    """
    found = re.fullmatch(r"(.+?)(?:-(\d+))?", name)
    problem = _PROBLEMS.get(found[1]) if found else None
    if found is None or problem is None:
        return None
    length = problem.length if found[2] is None else int(found[2])
    least, most = problem.shortest, LONGEST
    if not least <= length <= most:
        wanted = tr("expected a length of {least} to {most}, got {length}", least=least, most=most, length=length)
        raise DataError(name, wanted, tr("for example {name}", name=f"{problem.name}-{problem.length}"))
    return problem, length
