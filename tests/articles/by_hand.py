"""The formulas of the articles in plain Python, a number at a time: what every test here compares with. Knows no torch and no layer.

The weights are those of a recipe that anyone can write down, `W_k[r][c] = (((5 r + c + 15 k) mod 7) - 3) / 10` over `[h, x]`. Sigmoid and
tanh take complex numbers too, so that a derivative can be had by a step of 1e-30 along the imaginary axis, without cancellation (Squire &
Trapp 1998).
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Sequence
from typing import TypeVar

Number = TypeVar("Number", float, complex)
Row = list[float]
Vector = list[complex]
Matrix = list[Vector]
Steps = dict[str, list[Vector]]
"""Symbol -> frames -> units."""

SIGNAL = [1.0, 2.0, 3.0, 4.0, 5.0]
FRAMES: Matrix = [[1, 0], [0, 1], [1, 1]]
"""Three steps of two inputs."""

UNITS = 3


# ---- convolution and pooling


def convolution(x: Sequence[float], w: Sequence[float], bias: float = 0.0, before: int = 0, after: int = 0) -> Row:
    """y_j = sum_i x_(i+j-1) w_i + b over the row with so many zeros put before and after it. No kernel is flipped."""
    row = [0.0] * before + list(x) + [0.0] * after
    return [sum(row[j + i] * w[i] for i in range(len(w))) + bias for j in range(len(row) - len(w) + 1)] if x else []


def window_maxima(x: Sequence[float], size: int) -> Row:
    """y_j = max over (j-1) s < i <= j s: the last window may be cut short."""
    return [max(x[start : start + size]) for start in range(0, len(x), size)]


def window_means(x: Sequence[float], size: int) -> Row:
    """As `window_maxima`; each window is divided by the frames that it has."""
    return [sum(window) / len(window) for window in (x[start : start + size] for start in range(0, len(x), size))]


# ---- recurrence


def recipe(gate: int, columns: range = range(UNITS + 2)) -> Matrix:
    """W_k, or some columns of it: the first three meet h, the last two x."""
    return [[((5 * row + column + 15 * gate) % 7 - 3) / 10 for column in columns] for row in range(UNITS)]


def sigmoid(s: complex) -> complex:
    return 1 / (1 + cmath.exp(-s))


def product(w: Sequence[Sequence[complex]], v: Sequence[complex]) -> Vector:
    return [sum((a * b for a, b in zip(row, v, strict=True)), 0j) for row in w]


def each(function: Callable[[complex], complex], v: Sequence[complex], plus: float = 0.0) -> Vector:
    return [function(s + plus) for s in v]


def rnn(w: Sequence[Matrix], xs: Matrix) -> Steps:
    """h_t = tanh(W [h_(t-1), x_t])."""
    h: Vector = [0j] * UNITS
    said: Steps = {"h": []}
    for x in xs:
        h = each(cmath.tanh, product(w[0], h + x))
        said["h"].append(h)
    return said


def lstm(w: Sequence[Matrix], xs: Matrix, forget_bias: float = 1.0) -> Steps:
    """The six equations; W_k for k = f, i, candidate, o."""
    h: Vector = [0j] * UNITS
    c: Vector = [0j] * UNITS
    said: Steps = {symbol: [] for symbol in "ifgoch"}
    for x in xs:
        f, i, g, o = (product(gate, h + x) for gate in w)
        f, i, g, o = each(sigmoid, f, forget_bias), each(sigmoid, i), each(cmath.tanh, g), each(sigmoid, o)
        c = [f[u] * c[u] + i[u] * g[u] for u in range(UNITS)]
        h = [o[u] * cmath.tanh(c[u]) for u in range(UNITS)]
        for symbol, value in zip("ifgoch", (i, f, g, o, c, h), strict=True):
            said[symbol].append(value)
    return said


def gru(w: Sequence[Matrix], xs: Matrix, reset: str) -> Steps:
    """z, r, candidate, h = (1 - z) h + z n as the article writes it; W_k for k = z, r, candidate.

    `before`: n = tanh(U (r h) + V x), the article's; `after`: n = tanh(r (U h) + V x).
    """
    h: Vector = [0j] * UNITS
    said: Steps = {symbol: [] for symbol in "rznh"}
    for x in xs:
        z, r = (each(sigmoid, product(gate, h + x)) for gate in w[:2])
        of_h, of_x = [row[:UNITS] for row in w[2]], [row[UNITS:] for row in w[2]]
        if reset == "before":
            remembered = product(of_h, [a * b for a, b in zip(r, h, strict=True)])
        else:
            remembered = [a * b for a, b in zip(r, product(of_h, h), strict=True)]
        n = [cmath.tanh(a + b) for a, b in zip(remembered, product(of_x, x), strict=True)]
        h = [(1 - z[u]) * h[u] + z[u] * n[u] for u in range(UNITS)]
        for symbol, value in zip("rznh", (r, z, n, h), strict=True):
            said[symbol].append(value)
    return said


def real(values: Sequence[Sequence[complex]]) -> list[Row]:
    """Frames of units as real numbers."""
    return [[value.real for value in frame] for frame in values]


# ---- derivatives

STEP = 1e-30


def derivatives(loss: Callable[[], complex], table: Matrix) -> list[Row]:
    """d loss / d entry for each entry of a table that `loss` reads, each moved by i 1e-30 and put back."""
    found: list[Row] = []
    for row in table:
        found.append([])
        for place, value in enumerate(row):
            row[place] = value + STEP * 1j
            found[-1].append(loss().imag / STEP)
            row[place] = value
    return found
