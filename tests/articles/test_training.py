"""What training rests on: losses, gradients through time, clipping, initial weights, batch norm, dropout, against sums written out."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, sqrt
from typing import Literal

import pytest
import torch
from torch import Tensor

from convrnn.core.seq import Seq
from convrnn.data.split import last_fraction
from convrnn.layers.base import Layer
from convrnn.layers.dropout import Dropout
from convrnn.layers.init import fill
from convrnn.layers.norm import BatchNorm
from convrnn.layers.recurrent import RNN
from convrnn.tasks import Classify, Regress
from convrnn.training.optim import clip
from tests.articles.by_hand import FRAMES, UNITS, Matrix, Steps, derivatives, gru, lstm, recipe, rnn
from tests.articles.everywhere import EXACT, close, put, streamed
from tests.articles.written import our_gru, our_lstm, weights

ASKED = [[0.5, -1.0, 2.0], [1.0, 0.25, -0.5], [-0.75, 1.5, 1.0]]
"""The loss is the sum of h_t times these, over frames and units."""


# ---- losses


def test_cross_entropy_of_ten_equal_logits() -> None:
    """-log(exp(a) / sum exp(a)) = ln 10, for whatever label and logit."""
    task = Classify.fit([str(label) for label in range(10)])
    for logit in (0.0, 7.5):
        loss = task.loss(torch.full((3, 10), logit, dtype=torch.float64), torch.tensor([0, 4, 9]))
        assert abs(float(loss) - log(10)) <= EXACT and round(float(loss), 6) == 2.302585
    assert task.decode(torch.zeros(1, 10))[0]["probability"] == pytest.approx(0.1, abs=EXACT)


def test_cross_entropy_of_logits_by_hand() -> None:
    logits, right = [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], [2, 0]
    want = -sum(log(exp(row[k]) / sum(map(exp, row))) for row, k in zip(logits, right, strict=True)) / 2
    loss = Classify.fit(["a", "b", "c"]).loss(torch.tensor(logits, dtype=torch.float64), torch.tensor(right))
    assert abs(float(loss) - want) <= EXACT


def test_squared_error_is_for_numbers() -> None:
    """C says mean squared error "in general": the loss follows the task, and this is the one of regression."""
    task = Regress.fit([1.0, 3.0, 8.0])
    mean, deviation = 4.0, sqrt((9 + 1 + 16) / 3)
    right = task.encode([1.0, 3.0, 8.0])
    want = sum((score - (target - mean) / deviation) ** 2 for score, target in zip((0.5, -1.0, 2.0), (1, 3, 8), strict=True)) / 3
    assert abs(float(task.loss(torch.tensor([[0.5], [-1.0], [2.0]], dtype=torch.float64), right.double())) - want) <= 1e-6
    assert task.criterion == "mse"


# ---- back-propagation through time

CELLS: dict[str, tuple[Callable[[], Layer], Callable[[list[Matrix], Matrix], Steps], tuple[int, ...], tuple[int, ...]]] = {
    # ours, the articles', their gates in our order, and the signs of ours
    "rnn": (lambda: put(RNN(UNITS).build(2), weights((0,))), rnn, (0,), (1,)),
    "lstm": (our_lstm, lstm, (1, 0, 2, 3), (1, 1, 1, 1)),
    "gru-before": (lambda: our_gru("before"), lambda w, xs: gru(w, xs, "before"), (1, 0, 2), (1, -1, 1)),
    "gru-after": (lambda: our_gru("after"), lambda w, xs: gru(w, xs, "after"), (1, 0, 2), (1, -1, 1)),
}


def asked(h: list[list[complex]]) -> complex:
    return sum(a * value for row, frame in zip(ASKED, h, strict=True) for a, value in zip(row, frame, strict=True))


@pytest.mark.parametrize("chunks", [(3,), (1, 2), (1, 1, 1)])
@pytest.mark.parametrize("name", CELLS)
def test_gradients_through_time(name: str, chunks: tuple[int, ...]) -> None:
    """d loss / d every input and weight, against differences of the arithmetic by hand. (C 3.1.2 says that an RNN needs none of this.)"""
    ours, by_hand, order, signs = CELLS[name]
    tables = [recipe(gate) for gate in range(len(order))]
    inputs = [list(frame) for frame in FRAMES]

    def loss() -> complex:
        return asked(by_hand(tables, inputs)["h"])

    net, x = ours(), torch.tensor([[value.real for value in frame] for frame in FRAMES], dtype=torch.float64, requires_grad=True)
    (h,), _ = streamed(net, [x], chunks)
    (h * torch.tensor(ASKED, dtype=torch.float64)).sum().backward()
    close(gradient(x), torch.tensor(derivatives(loss, inputs), dtype=torch.float64), "input")
    of_gates = [derivatives(loss, table) for table in tables]
    want = [[sign * value for value in row] for gate, sign in zip(order, signs, strict=True) for row in of_gates[gate]]
    got = torch.cat([gradient(net.get_parameter(f"forward_layers.0.{part}")) for part in ("w_h", "w_x")], 1)
    close(got, torch.tensor(want, dtype=torch.float64), "weights")


def gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


def test_the_gradient_of_a_plain_rnn_fades_with_distance() -> None:
    """A 1.2, B 3.2: d h_T / d x_t is a product of T - t matrices; with those of the recipe each makes it smaller."""
    net = put(RNN(UNITS).build(2), weights((0,)))
    x = torch.ones(1, 12, 2, dtype=torch.float64, requires_grad=True)
    net(Seq(x)).seq.values[0, -1].sum().backward()
    norms = gradient(x)[0].norm(dim=1).tolist()
    assert norms == sorted(norms) and norms[0] < 0.01 * norms[-1]


# ---- tricks of the trade


def test_clipping_scales_the_whole_gradient() -> None:
    """g min(1, c / |g|): (3, 4) to length 1 is (.6, .8). Against explosion; a gradient that has vanished stays as it is (C 2.1.2)."""
    for start, want in (([3.0, 4.0], [0.6, 0.8]), ([3e-9, 4e-9], [3e-9, 4e-9])):
        leaf = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        leaf.grad = torch.tensor(start, dtype=torch.float64)
        norm = clip([leaf], 1.0)
        assert abs(float(norm) - sqrt(start[0] ** 2 + start[1] ** 2)) <= EXACT
        # torch divides by |g| + 1e-6, so that no gradient is divided by 0
        close(gradient(leaf) * (1 + 1e-6 / float(norm) if float(norm) > 1 else 1), torch.tensor(want, dtype=torch.float64), "clipped")


@pytest.mark.parametrize(("how", "bound"), [("xavier", sqrt(6 / (300 + 200))), ("he", sqrt(6 / 300))])
def test_initial_weights(how: Literal["xavier", "he"], bound: float) -> None:
    """Uniform to sqrt(6 / (in + out)), and to sqrt(6 / in): variances 2 / (in + out) and 2 / in (C 2.1.2)."""
    torch.manual_seed(0)
    weight = torch.empty(200, 300, dtype=torch.float64)
    fill(weight, how)
    assert 0.999 * bound < float(weight.abs().max()) <= bound
    assert abs(float(weight.var()) / (bound**2 / 3) - 1) < 0.02


def test_batch_norm() -> None:
    """(x - mean) / sqrt(var + epsilon) over the frames that there are: 1..5 in rows of three and two, nothing of the padding."""
    net = BatchNorm(epsilon=1e-3).build(1).double().train()
    x = torch.tensor([[1.0, 2, 3], [4, 5, float("nan")]], dtype=torch.float64)[..., None]
    y = net(Seq(x, torch.tensor([3, 2]))).seq.values[..., 0]
    want = [(value - 3) / sqrt(2 + 1e-3) for value in (1, 2, 3, 4, 5)]
    close(torch.cat([y[0], y[1, :2]]).detach(), torch.tensor(want, dtype=torch.float64), "batch norm")


def test_dropout_keeps_the_mean() -> None:
    """What is kept is divided by its share; in evaluation nothing happens."""
    net = Dropout(0.25).build(1).double()
    x = torch.ones(4, 500, 1, dtype=torch.float64)
    torch.manual_seed(0)
    dropped = net.train()(Seq(x)).seq.values
    assert set(dropped.flatten().tolist()) == {0.0, 1 / 0.75} and abs(float(dropped.mean()) - 1) < 0.05
    assert torch.equal(net.eval()(Seq(x)).seq.values, x)


def test_validation_split_takes_the_last_rows() -> None:
    """`validation_split=0.1` of 60,000 is the last 6,000, unshuffled (E 4.1); here `shuffle=false`."""
    halves = last_fraction(60_000, 0.1)
    assert halves.held.tolist() == list(range(54_000, 60_000)) and len(halves.kept) == 54_000
