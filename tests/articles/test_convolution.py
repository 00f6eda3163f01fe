"""Convolution and pooling, the worked examples of the articles and their formulas: every row, every mode, against sums written out."""

from __future__ import annotations

from math import exp
from typing import Literal

import pytest
import torch

from convrnn.core.seq import Seq
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.framewise import Activation, Linear
from convrnn.layers.pool import Pool
from tests.articles.by_hand import SIGNAL, convolution, window_maxima, window_means
from tests.articles.everywhere import close, column, holds, put

Padding = Literal["valid", "same", "causal"]
SMOOTH, DIFFERENCE = [0.5, 1.0, 0.5], [1.0, 0.0, -1.0]
ZEROS: dict[Padding, tuple[int, int]] = {"valid": (0, 0), "same": (1, 1), "causal": (2, 0)}
"""Zeros before and after a row for a kernel of three."""

ROWS = [SIGNAL[:n] for n in (5, 3, 1, 4, 0, 2)]


@pytest.mark.parametrize(
    ("w", "padding", "want"),
    [
        (SMOOTH, "valid", [4, 6, 8]),
        (SMOOTH, "same", [2, 4, 6, 8, 7]),
        (SMOOTH, "causal", [0.5, 2, 4, 6, 8]),
        (DIFFERENCE, "valid", [-2, -2, -2]),
    ],
)
def test_convolution_of_five_numbers(w: list[float], padding: Padding, want: list[float]) -> None:
    """1 * .5 + 2 * 1 + 3 * .5 = 4, and so on; a text in circulation prints 3.5, 5, 6.5, without the first product of each."""
    assert convolution(SIGNAL, w, 0.0, *ZEROS[padding]) == want
    net = put(Conv(1, kernel=3, padding=padding, bias=False).build(1), {"weight": w})
    holds(net, ROWS, [convolution(row, w, 0.0, *ZEROS[padding]) for row in ROWS])


def test_the_printed_slip_is_the_first_product_left_out() -> None:
    assert convolution(SIGNAL, [0, 1, 0.5]) == [3.5, 5, 6.5]


def test_nothing_is_flipped() -> None:
    """The convolution of mathematics turns the kernel round: its answer would be 2, 2, 2."""
    assert convolution(SIGNAL, DIFFERENCE) == [-2, -2, -2]
    assert convolution(SIGNAL, DIFFERENCE[::-1]) == [2, 2, 2]


@pytest.mark.parametrize("padding", ZEROS)
def test_convolution_with_a_bias(padding: Padding) -> None:
    """y_j = sum_i x_(i+j-1) w_i + b (A 4.1, D 3.2)."""
    w = [0.3, -0.7, 0.11]
    net = put(Conv(1, kernel=3, padding=padding).build(1), {"weight": w, "bias": [0.25]})
    holds(net, ROWS, [convolution(row, w, 0.25, *ZEROS[padding]) for row in ROWS])


@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2), (3, 2)])
def test_stride_and_dilation(stride: int, dilation: int) -> None:
    """z[x] = b + sum_u f[u] I[s x + d u] (E 1, 3.1.1)."""
    x, w = [1.0, -2.0, 4.0, 8.0, -3.0, 0.5, 2.0, 7.0], [0.5, -1.0, 2.0]
    outputs = range((len(x) - 2 * dilation - 1) // stride + 1)
    want = [0.125 + sum(w[u] * x[stride * place + dilation * u] for u in range(3)) for place in outputs]
    net = put(Conv(1, kernel=3, stride=stride, dilation=dilation, padding="valid").build(1), {"weight": w, "bias": [0.125]})
    holds(net, [x], [want])


@pytest.mark.parametrize("groups", [1, 2])
def test_channels_and_groups(groups: int) -> None:
    """z_k[x] = b_k + sum_c sum_u f_k[c, u] I[c, x + u], c over the channels of the group of k: the kernel sum that E 3.1.1 leaves out."""
    x = [[float((3 * frame + 5 * channel) % 7 - 3) for channel in range(4)] for frame in range(5)]
    members = 4 // groups
    f = [[[((2 * k + 3 * c + u) % 5 - 2) / 4 for u in range(2)] for c in range(members)] for k in range(2)]

    def z(frame: int, k: int) -> float:
        first = members * (k * groups // 2)
        return k / 8 + sum(f[k][c][u] * x[frame + u][first + c] for c in range(members) for u in range(2))

    want = [[z(frame, k) for k in range(2)] for frame in range(4)]
    net = put(Conv(2, kernel=2, groups=groups, padding="valid").build(4), {"weight": f, "bias": [0.0, 0.125]})
    holds(net, [x, x[:3]], [want, want[:2]])


def test_depthwise_separable() -> None:
    """A convolution of each channel by itself, then a product over channels: one kind of convolution (E 2.3)."""
    x = [[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0]]
    depth, point = [[0.5, -1.0], [2.0, 0.25]], [[1.0, -1.0], [0.5, 3.0], [0.0, 2.0]]
    inner = [[sum(depth[c][u] * x[frame + u][c] for u in range(2)) for c in range(2)] for frame in range(2)]
    want = [[sum(point[k][c] * frame[c] for c in range(2)) for k in range(3)] for frame in inner]
    net = put(Conv(3, kernel=2, padding="valid", bias=False, separable=True).build(2), {"weight": depth, "pointwise": point})
    holds(net, [x], [want])


def test_two_by_two_picture() -> None:
    """[[1, 2], [3, 4]] with [[1, 0], [0, -1]]: 1 - 4 = -3. A flipped kernel would give 3; the identity kernel, either way, 5."""
    picture, w = [[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, -1.0]]
    want = sum(w[m][n] * picture[m][n] for m in range(2) for n in range(2))
    assert want == -3
    net = put(Conv(1, kernel=2, padding="valid", bias=False).build((2, 1)), {"weight": w})
    holds(net, [[[[value] for value in frame] for frame in picture]], [[want]])


def test_three_by_three_of_a_picture() -> None:
    """y_ij = sum_m sum_n x_(i+m, j+n) w_mn + b on 4x5 (B 3.1.1, 4.1.1)."""
    picture = [[float((7 * i + 3 * j) % 11) for j in range(5)] for i in range(4)]
    w = [[0.5, -1.0, 0.25], [2.0, 0.0, -0.5], [1.0, -0.75, 3.0]]
    want = [[1.5 + sum(picture[i + m][j + n] * w[m][n] for m in range(3) for n in range(3)) for j in range(3)] for i in range(2)]
    net = put(Conv(1, kernel=3, padding="valid").build((5, 1)), {"weight": w, "bias": [1.5]})
    got = net(Seq(torch.tensor(picture, dtype=torch.float64)[None, :, :, None])).seq.values[0, :, :, 0]
    close(got.detach(), column(want, 3), "the picture")


# ---- pooling


@pytest.mark.parametrize(
    ("kind", "partial", "want"),
    [("max", "keep", [2, 4, 5]), ("max", "drop", [2, 4]), ("mean", "keep", [1.5, 3.5, 5]), ("mean", "drop", [1.5, 3.5])],
)
def test_pooling_by_two(kind: Literal["max", "mean"], partial: Literal["keep", "drop"], want: list[float]) -> None:
    """y_j over (j-1) s < i <= j s: the formula keeps the last, partial window; torch and Keras drop it unless told."""
    pooled = window_maxima if kind == "max" else window_means

    def of(row: list[float]) -> list[float]:
        return pooled(row if partial == "keep" else row[: len(row) // 2 * 2], 2)

    assert of(SIGNAL) == want
    holds(Pool(2, kind=kind, partial=partial).build(1).double(), ROWS, [of(row) for row in ROWS])


def test_kept_windows_begin_at_the_first_frame() -> None:
    """Keras `same` would put its zero on the left of 1, 2, 3, 4 in windows of 3: [2, 4]."""
    assert window_maxima(SIGNAL[:4], 3) == [3, 4]
    holds(Pool(3).build(1).double(), ROWS, [window_maxima(row, 3) for row in ROWS])


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_short_row_survives_two_pools_by_two(frames: int) -> None:
    """With `drop` there would be no frame left."""
    row = SIGNAL[:frames]
    twice = window_maxima(window_maxima(row, 2), 2)
    assert len(twice) == 1
    holds(Serial(Pool(2), Pool(2)).build(1).double(), [row], [twice])
    holds(Serial(Pool(2, partial="drop"), Pool(2, partial="drop")).build(1).double(), [row], [[]])


def test_window_pooling_of_a_picture() -> None:
    """First boxes, then the maximum or the mean of each (E 3.1.3, B 3.1.2); nothing is learned in it."""
    picture = [[float((5 * i + 2 * j) % 9) for j in range(4)] for i in range(4)]
    boxes = [[[picture[2 * i + m][2 * j + n] for m in range(2) for n in range(2)] for j in range(2)] for i in range(2)]
    x = Seq(torch.tensor(picture, dtype=torch.float64)[None, :, :, None])
    for net, of in ((Pool(2).build((4, 1)), max), (Pool(2, kind="mean").build((4, 1)), lambda box: sum(box) / 4)):
        assert not list(net.parameters())
        close(net(x).seq.values[0, :, :, 0], column([[of(box) for box in line] for line in boxes], 2), "the picture")


# ---- frame by frame


def test_dense_layer() -> None:
    """A product with a matrix, frame by frame (E 3.1.4)."""
    w, b, x = [[1.0, -2.0, 0.5], [0.25, 4.0, -1.0]], [0.5, -0.5], [[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]]
    want = [[b[k] + sum(w[k][c] * frame[c] for c in range(3)) for k in range(2)] for frame in x]
    holds(put(Linear(2).build(3), {"weight": w, "bias": b}), [x, x[:1]], [want, want[:1]])


def test_activations() -> None:
    """Sigmoid, tanh and ReLU by their definitions (E 3.1.2)."""
    x = [-2.0, -0.5, 0.0, 0.5, 3.0]
    sigmoid, tanh = [1 / (1 + exp(-s)) for s in x], [(exp(s) - exp(-s)) / (exp(s) + exp(-s)) for s in x]
    holds(Activation("sigmoid").build(1).double(), [x, x[:2]], [sigmoid, sigmoid[:2]])
    holds(Activation("tanh").build(1).double(), [x, x[:2]], [tanh, tanh[:2]])
    holds(Activation("relu").build(1).double(), [x, x[:2]], [[0, 0, 0, 0.5, 3], [0, 0]])
