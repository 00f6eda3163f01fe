"""Layers made of layers, by hand arithmetic and against what they are built from; ten layers measured; what users get wrong."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, tanh
from typing import Literal

import pytest
import torch

import convrnn as cr
from convrnn.core.errors import InputError, NotStreamable, ShapeError, SpecError
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.layers.both_ways import reversed_rows
from convrnn.testing.cases import CASES
from convrnn.testing.chunks import batch_of, compare, compare_states, split_rows
from tests.layers.refused import refused

CASE = {case.name: case for case in CASES}
NAN = float("nan")


def rows(*values: list[float]) -> Seq:
    """Rows of one channel, padded with NaN."""
    return batch_of([torch.tensor(row, dtype=torch.float64)[:, None] for row in values])


def answers(net: Layer, x: Seq) -> list[list[float]]:
    with torch.no_grad():
        return [row[:, 0].tolist() for row in split_rows(net.double()(x).seq)]


def fill(net: Layer, **parameters: list[float]) -> Layer:
    """The net, every parameter set; dots of names are written as two underscores."""
    own = dict(net.named_parameters())
    assert sorted(own) == sorted(name.replace("__", ".") for name in parameters)
    with torch.no_grad():
        for name, values in parameters.items():
            parameter = own[name.replace("__", ".")]
            parameter.copy_(torch.tensor(values).reshape(parameter.shape))
    return net


def copied(target: torch.nn.Module, source: torch.nn.Module) -> None:
    target.load_state_dict(source.state_dict(), strict=True)


# ---- side by side


@pytest.mark.parametrize(
    ("merge", "want"),
    [("add", [3, 6, -9]), ("mean", [1.5, 3, -4.5]), ("multiply", [2, 8, 18])],
)
def test_two_branches_by_hand(merge: Literal["add", "mean", "multiply"], want: list[float]) -> None:
    """x and 2 x."""
    net = fill(cr.Parallel(cr.Serial(), cr.Linear(1, bias=False), merge=merge).build(1), branches__1__weight=[2])
    assert answers(net, rows([1, 2, -3], [])) == [want, []]


def test_attention_over_branches_by_hand() -> None:
    """Scores 3 tanh(x / 2 + 1) and 3 tanh(2 x / 2 + 1): one weight for a whole branch."""
    net = cr.Parallel(cr.Serial(), cr.Linear(1, bias=False), merge="attention").build(1)
    fill(net, branches__1__weight=[2], hidden__weight=[0.5], hidden__bias=[1], score__weight=[3])
    x = 0.7
    first, second = exp(3 * tanh(x / 2 + 1)), exp(3 * tanh(x + 1))
    assert answers(net, rows([x])) == [[pytest.approx((first * x + second * 2 * x) / (first + second), abs=1e-7)]]


def test_attention_weighs_branches_and_gate_weighs_channels() -> None:
    branches = (cr.Conv(3, kernel=5), cr.Linear(3), cr.Serial())
    x = Seq(torch.randn(2, 6, 3))
    for spec, channels in ((cr.Parallel(*branches, merge="attention"), 1), (cr.Parallel(*branches, merge="gate"), 3)):
        net = spec.build(3)
        weights = net.inside(x)["weights"]
        assert weights.shape == (2, 6, 3, channels)
        assert torch.allclose(weights.sum(2), torch.ones(2, 6, channels))
        parts = torch.stack([layer(x).seq.values for _, layer in net.parts()], 2)
        assert torch.allclose((weights * parts).sum(2), net(x).seq.values, atol=1e-6)
    assert cr.Parallel(*branches).build(3).inside(x) == {}


def test_attention_over_branches_that_are_one_vector_a_row() -> None:
    """Pooled branches: the fusion of two summaries of a row."""
    net = cr.Parallel(cr.GlobalPool("max"), cr.GlobalPool("mean"), merge="attention").build(4)
    assert net(Seq(torch.randn(2, 6, 4))).seq.values.shape == (2, 1, 4)
    assert net.stream(2).push(torch.randn(2, 6, 4)).values.shape == (2, 0, 4)


# ---- repeated, dense, highway, conditional


def test_repeat_is_serial() -> None:
    body = cr.Serial(cr.Conv(3, kernel=3), cr.GRU(3))
    assert cr.Repeat(body, 2).build(3).state_dict().keys() == cr.Serial(body, body).build(3).state_dict().keys()


def test_shared_weights_are_stored_once_and_states_are_apart() -> None:
    net = cr.Repeat(cr.GRU(2), 3, shared=True).build(2)
    single = cr.GRU(2).build(2)
    assert [name.removeprefix("layers.0.") for name in net.state_dict()] == list(single.state_dict())
    copied(net.get_submodule("layers.0"), single)
    x = Seq(torch.randn(2, 5, 2))
    y, state = net(x)
    want, states = x, []
    for _ in range(3):
        want, after = single(want)
        states.append(after)
    assert torch.equal(y.values, want.values)
    compare_states("states", state, tuple(states))
    assert len(states) == len(net.state_names()) == 3


def test_dense_block_by_hand() -> None:
    """Bodies that add up their channels: 1, then 1 + 1, then 1 + 1 + 2, ..."""
    net = cr.DenseBlock(cr.Linear(1, bias=False, init="zeros"), times=4).build(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1)
    assert net(Seq(torch.ones(1, 1, 1))).seq.values[0, 0].tolist() == [1, 1, 2, 4, 8]


def test_dense_block_waits_for_all_that_look_ahead() -> None:
    net = cr.DenseBlock(cr.Conv(2, kernel=5), cr.Conv(2, kernel=3, padding="causal"), cr.Conv(2, kernel=3)).build(3)
    assert (net.past, net.lookahead) == (2 + 2 + 1, 2 + 0 + 1)


def test_highway_by_hand() -> None:
    """t = sigmoid(0.5 x - 1); at x = 2 half of 3 x = 6 passes and half of x = 2 goes by."""
    net = fill(cr.Highway(cr.Linear(1, bias=False)).build(1), branches__1__weight=[3], gate__weight=[0.5], gate__bias=[-1])
    t = 1 / (1 + exp(-(0.5 * 4 - 1)))
    assert answers(net, rows([2, 4], [2])) == [[4, pytest.approx(t * 12 + (1 - t) * 4)], [4]]
    assert net.inside(rows([2]))["t"].tolist() == [[[0.5]]]


def test_highway_lets_its_input_through_at_first() -> None:
    net = cr.Highway(cr.Linear(8), bias=-3).build(8)
    x = 0.01 * torch.randn(1, 5, 8)
    assert torch.allclose(net.inside(Seq(x))["t"], torch.tensor(1 / (1 + exp(3))), atol=2e-3)


def test_film_begins_as_its_body() -> None:
    net = cr.FiLM(cr.Linear(3), cr.Conv(4, kernel=5)).build(2)
    x = Seq(torch.randn(2, 6, 2))
    assert torch.equal(net(x).seq.values, net.get_submodule("branches.1")(x).seq.values)
    with torch.no_grad():
        gamma, beta = net.inside(x).values()
    assert torch.equal(gamma, torch.ones(2, 6, 4)) and torch.equal(beta, torch.zeros(2, 6, 4))


def test_film_by_hand() -> None:
    """gamma = 2 c + 1 and beta = -c scale and shift h = 10 x, where x and c are two channels."""
    net = cr.FiLM(cr.Linear(1, bias=False), cr.Linear(1, bias=False)).build(2)
    fill(net, branches__0__weight=[0, 1], branches__1__weight=[10, 0], film__weight=[2, -1], film__bias=[1, 0])
    x = torch.tensor([[[1.0, 3], [2, -1]]], dtype=torch.float64)
    assert answers(net, Seq(x)) == [[7 * 10 - 3, -1 * 20 + 1]]


def test_film_gives_every_position_the_same_condition() -> None:
    net = cr.FiLM(cr.Serial(cr.Fold("mean")), cr.Conv(3, kernel=1, bias=False)).build((4, 2))
    with torch.no_grad():
        net.get_parameter("film.weight").normal_()
    x = Seq(torch.randn(1, 5, 4, 2))
    gamma, beta = net.inside(x)["gamma"], net.inside(x)["beta"]
    assert gamma.shape == (1, 5, 1, 3)
    body = net.get_submodule("branches.1")(x).seq.values
    assert torch.allclose(net(x).seq.values, gamma * body + beta, atol=1e-6)


# ---- both ways


def test_rows_are_reversed_and_padding_is_not() -> None:
    got = reversed_rows(rows([1, 2, 3], [4, 5], []))
    assert got.values[..., 0].nan_to_num(nan=-1).tolist() == [[3, 2, 1], [5, 4, -1], [-1, -1, -1]]
    assert reversed_rows(Seq(torch.tensor([[7, 8, 9]]))).values.tolist() == [[9, 8, 7]]


def test_a_causal_kernel_and_its_mirror_image() -> None:
    """10 x_(t-1) + x_t forth and 100 x_(t+1) + x_t back, where a row ends by its length, not by the batch."""
    net = cr.BothWays(cr.Conv(1, kernel=2, padding="causal", bias=False), merge="sum").build(1)
    fill(net, forth__weight=[10, 1], back__weight=[100, 1])
    assert answers(net, rows([1, 2, 3], [4, 5])) == [[0 + 1 + 200 + 1, 10 + 2 + 300 + 2, 20 + 3 + 0 + 3], [4 + 500 + 4, 40 + 5 + 5]]


def test_no_frame_of_a_padded_row_is_lost() -> None:
    """The example that google/sequence-layers warns of: five frames, three of padding, a causal kernel of 3; E and D stay valid."""
    net = cr.BothWays(cr.Conv(1, kernel=3, padding="causal", bias=False)).build(1)
    fill(net, forth__weight=[1, 1, 1], back__weight=[1, 1, 1])
    padded = batch_of([torch.ones(5, 1, dtype=torch.float64), torch.ones(8, 1, dtype=torch.float64)])
    with torch.no_grad():
        row = split_rows(net.double()(padded).seq)[0]
    assert row.tolist() == [[1, 3], [2, 3], [3, 3], [3, 2], [3, 1]]


@pytest.mark.parametrize("merge", ["concat", "sum", "mean", "gate"])
@pytest.mark.parametrize("cell", [cr.GRU, cr.LSTM])
def test_one_recurrent_layer_both_ways_is_bidirectional(
    cell: type[cr.GRU] | type[cr.LSTM], merge: Literal["concat", "sum", "mean", "gate"]
) -> None:
    want = cell(4, bidirectional=True, merge=merge).build(3).double()
    net = cr.BothWays(cell(4), merge=merge).build(3).double()
    copied(net.get_submodule("forth.forward_layers"), want.get_submodule("forward_layers"))
    copied(net.get_submodule("back.forward_layers"), want.get_submodule("backward_layers"))
    copied(net.get_submodule("joint"), want.get_submodule("joints.0"))
    x = batch_of([torch.randn(n, 3, dtype=torch.float64) for n in (7, 0, 3, 1)])
    for got, expected in zip(split_rows(net(x).seq), split_rows(want(x).seq), strict=True):
        compare("row", got, expected)
    inner = net.inside(x)
    assert sorted(inner) == (["b", "f", "g"] if merge == "gate" else ["b", "f"])
    assert inner["f"].shape == inner["b"].shape == (4, 7, 4)


@pytest.mark.parametrize(
    ("body", "past", "lookahead"),
    [
        (cr.Conv(2, kernel=4, padding="causal"), 3, 3),
        (cr.Conv(2, kernel=4), 2, 2),
        (cr.Serial(cr.Conv(2, kernel=3, dilation=2), cr.Pool(2, stride=1)), 3, 3),
        (cr.GRU(2), None, None),
    ],
)
def test_reach_both_ways_is_the_union(body: cr.Spec, past: int | None, lookahead: int | None) -> None:
    net = cr.BothWays(body).build(2)
    assert (net.past, net.lookahead) == (past, lookahead)


# ---- ten layers, as the issue asks: derived facts are those measured, and it streams


def measured(net: Layer, frames: int) -> tuple[int, int]:
    """The furthest frames back and ahead that reach an answer, by setting one frame after the other to NaN."""
    step = net.ratio.denominator
    (row,) = (torch.randn(frames, 3, dtype=torch.float64),)
    past = ahead = 0
    for t in range(frames):
        poisoned = row.clone()
        poisoned[t] = NAN
        with torch.no_grad():
            reached = net(Seq(poisoned[None])).seq.values[0].isnan().any(-1).nonzero()[:, 0] * step
        past, ahead = max([past, *(reached - t).tolist()]), max([ahead, *(t - reached).tolist()])
    return past, ahead


def test_ten_layers_reach_what_their_children_say() -> None:
    """The convolution of stride 2 sees 2 frames around; each layer behind it counts 2, 4 or 12 times."""
    net = CASE["ten-layers-finite"].build()
    assert len(list(net.parts())) == 10
    frames = 200
    past, lookahead = measured(net, frames)
    emitted = int(net.frames(frames))
    stream = net.stream()
    print(f"\n{'':16}derived  measured")
    print(f"{'receptive field':16}{(net.past or 0) + 1 + (net.lookahead or 0):7}  {past + 1 + lookahead:8}")
    print(f"{'lookahead':16}{net.lookahead:7}  {lookahead:8}")
    print(f"{'ratio':16}{net.ratio!s:>7}  {emitted:4}/{frames}\n{stream.describe()}")
    assert (net.past, net.lookahead) == (past, lookahead)
    assert emitted == -(-frames * net.ratio.numerator // net.ratio.denominator)
    assert stream.first_answer == lookahead + 1 and stream.chunk_wait == net.ratio.denominator == 12


def test_ten_layers_with_a_recurrence_look_back_without_bound() -> None:
    finite, net = CASE["ten-layers-finite"].build(), CASE["ten-layers-recurrent"].build()
    assert (net.past, net.lookahead, net.ratio) == (None, finite.lookahead, finite.ratio)
    row = torch.randn(1, 120, 3, dtype=torch.float64)
    stream = net.stream()
    parts = [stream.push(chunk) for chunk in row.split([1, 0, 50, 7, 62], 1)] + [stream.finish()]
    with torch.no_grad():
        compare("row", torch.cat([split_rows(part)[0] for part in parts]), net(Seq(row)).seq.values[0])


# ---- mistakes

ATTEND = cr.Attend(cr.GRU(4), cr.Linear(4))

MISTAKES: dict[str, tuple[Callable[[], object], type[InputError], str]] = {
    "strides both ways": (
        lambda: cr.Serial(cr.Conv(4), cr.BothWays(cr.Serial(cr.Conv(4, stride=2), cr.GRU(4)))).build(3),
        ShapeError,
        "1.both_ways: the body gives 1 frame(s) for 2: its two directions would not meet; put strides and pooling before or behind it",
    ),
    "one frame both ways": (
        lambda: cr.BothWays(cr.GlobalPool()).build(3),
        ShapeError,
        "both_ways: the body gives 1 frame(s) for 0: its two directions would not meet; put strides and pooling before or behind it",
    ),
    "wrong width both ways": (
        lambda: cr.BothWays(cr.Serial(cr.Conv(4), cr.Residual(cr.Linear(5)))).build(3),
        ShapeError,
        "both_ways.1.residual: the body gives (5,), the input is (4,); end the body with 4 features",
    ),
    "streaming both ways": (
        lambda: cr.Serial(cr.Conv(4), cr.Residual(cr.Serial(cr.BothWays(cr.GRU(4), merge="sum")))).build(3).stream(),
        NotStreamable,
        "1.body.0.both_ways: cannot stream: it needs the whole row; use its body alone, causal, or with lookahead (Conv(ahead=n))",
    ),
    "a chunk both ways": (
        lambda: cr.BothWays(cr.GRU(4)).build(3)(Seq(torch.zeros(1, 2, 3)), None, False),
        NotStreamable,
        "both_ways: cannot stream: the backward direction needs the whole row; "
        "use its body alone, causal, or with lookahead (Conv(ahead=n))",
    ),
    "streaming a recurrence that goes both ways inside": (
        lambda: cr.Highway(cr.BothWays(cr.GRU(2, bidirectional=True))).build(8).stream(),
        NotStreamable,
        "body.forth.gru: cannot stream: it needs the whole row; use bidirectional=False",
    ),
    "streaming attention over a memory": (
        lambda: cr.Repeat(cr.Residual(cr.Serial(ATTEND, cr.Linear(3))), 2).build(3).stream(),
        NotStreamable,
        "0.body.0.attend: cannot stream: it needs the whole row; "
        "use GlobalPool('attention'), or a recurrent layer in place of the attention",
    ),
    "streaming a repeated body of shared weights": (
        lambda: cr.DenseBlock(cr.Repeat(cr.BothWays(cr.GRU(3), merge="sum"), 2, shared=True)).build(3).stream(),
        NotStreamable,
        "0.1.0.both_ways: cannot stream: it needs the whole row; use its body alone, causal, or with lookahead (Conv(ahead=n))",
    ),
    "a condition with fewer frames": (
        lambda: cr.FiLM(cr.GlobalPool(), cr.Conv(4)).build(3),
        ShapeError,
        "film.body: gives 1 frame(s) an input frame, the first branch 0; use the same strides",
    ),
    "a condition with another space": (
        lambda: cr.FiLM(cr.Pool((1, 2)), cr.Conv(4)).build((4, 2)),
        ShapeError,
        "film.by: gives frames of (2, 2), the body gives (4, 4); put a Fold behind it",
    ),
    "a condition that cannot be built": (
        lambda: cr.FiLM(cr.Conv(4, groups=2), cr.Conv(4)).build(3),
        ShapeError,
        "film.by.conv: expected groups=2 to divide 3 input channels",
    ),
    "a highway that changes width": (
        lambda: cr.Serial(cr.Highway(cr.Conv(4))).build(3),
        ShapeError,
        "0.highway: the body gives (4,), the input is (3,); end the body with 3 features",
    ),
    "shared weights that change width": (
        lambda: cr.Repeat(cr.Conv(4), 2, shared=True).build(3),
        ShapeError,
        "repeat: the body gives (4,), the input is (3,); end the body with 3 features",
    ),
    "dense branches of unequal frames": (
        lambda: cr.DenseBlock(cr.Conv(4), cr.Conv(4, stride=2)).build(3),
        ShapeError,
        "dense_block.1.parallel.1: gives 1/2 frame(s) an input frame, the first branch 1; use the same strides",
    ),
    "a dense block of nothing": (
        lambda: cr.Spec.from_yaml("[{dense_block: []}]"),
        SpecError,
        "0.dense_block.bodies: expected at least one, got none; give DenseBlock(Conv(8))",
    ),
    "no repetition": (lambda: cr.Repeat(cr.Conv(4), 0), SpecError, "repeat.times: expected a value greater than 0, got 0"),
    "one branch": (lambda: cr.Parallel(cr.Conv(4)), SpecError, "parallel.branches: expected at least two, got 1"),
    "attention over unequal branches": (
        lambda: cr.Parallel(cr.Conv(4), cr.Conv(5), merge="attention").build(3),
        ShapeError,
        "parallel.1: gives frames of (5,), the first branch gives (4,); make them equal, or merge='concat' where only widths differ",
    ),
}


@pytest.mark.parametrize(("make", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(make: Callable[[], object], kind: type[InputError], message: str) -> None:
    refused(make, kind, message)


def test_an_inner_layer_that_is_shown_whole_rows_may_need_them() -> None:
    """Only what does not stream itself is to blame: inside `TimeDistributed` a frame is a whole row."""
    both = cr.Serial(cr.GRU(2, bidirectional=True), cr.GlobalPool("last"))
    net = cr.Serial(cr.TimeDistributed(both), cr.GRU(4)).build((5, 3))
    assert net.obstacle() is None
    assert net.stream().push(torch.zeros(1, 2, 5, 3)).values.shape == (1, 2, 4)
    with pytest.raises(NotStreamable, match=r"^1\.gru: cannot stream"):
        cr.Serial(cr.TimeDistributed(both), cr.GRU(4, bidirectional=True)).build((5, 3)).stream()
