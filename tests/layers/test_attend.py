"""Attention over a memory: by hand, against torch and a plain loop, where there is no memory, exported; and as a layer."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, sqrt, tanh

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convrnn as cr
from convrnn.core.errors import InputError, NotStreamable, ShapeError, SpecError, UsageError
from convrnn.core.seq import Seq
from convrnn.layers.attention import Additive, Attention, Dot, General, Location, content_attention
from convrnn.testing.chunks import batch_of
from tests.layers.refused import refused

KINDS: dict[str, Callable[[], Attention]] = {
    "additive": lambda: Additive(3, 3, 5),
    "dot": lambda: Dot(3, 3, scaled=False),
    "scaled_dot": lambda: Dot(3, 3, scaled=True),
    "general": lambda: General(3, 3),
    "location": lambda: Location(3, 3, 5, filters=2, kernel=5),
    "location-cumulative": lambda: Location(3, 3, 5, filters=2, kernel=3, cumulative=True),
}
by_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def ragged(*lengths: int) -> Seq:
    """Rows of 3 channels, the padding NaN."""
    return batch_of([torch.randn(n, 3, dtype=torch.float64) for n in lengths])


def asked(attention: Attention, memory: Seq, queries: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Contexts and weights of one query after the other."""
    prepared, seen = attention.prepare(memory), None
    contexts, weights = list[Tensor](), list[Tensor]()
    for query in queries:
        context, weight, seen = attention(query, prepared, seen)
        contexts.append(context)
        weights.append(weight)
    return contexts, weights


# ---- by hand


def test_dot_by_hand() -> None:
    """Scores 0 and ln 3: weights 1/4 and 3/4; half of it where the width, 4, is divided by."""
    memory = Seq(torch.tensor([[[0.0, 1, 0, 0], [log(3), 9, 0, 0]]], dtype=torch.float64))
    query = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    plain, scaled = Dot(4, 4, scaled=False), Dot(4, 4, scaled=True)
    context, weights, _ = plain(query, plain.prepare(memory))
    assert weights.tolist() == [[pytest.approx(1 / 4), pytest.approx(3 / 4)]]
    assert context[0, 1].item() == pytest.approx(1 / 4 + 9 * 3 / 4)
    assert scaled(query, scaled.prepare(memory)).weights_BM[0, 1].item() == pytest.approx(sqrt(3) / (1 + sqrt(3)))


def test_additive_and_location_by_hand() -> None:
    """e = 2 tanh(3 q + m - 1), and 5 times what the query before weighed one frame further on, added inside."""
    attention = Location(1, 1, 1, filters=1, kernel=3).double()
    with torch.no_grad():
        for parameter, value in zip(attention.parameters(), (0, 3, 1, -1, 2, 5), strict=True):
            parameter.fill_(value)
        attention.filters.copy_(torch.tensor([[[1.0, 0, 0]]]))
    memory = Seq(torch.tensor([[[0.5], [0.25]]], dtype=torch.float64))
    _, (first, second) = asked(attention, memory, torch.full((2, 1, 1), 0.1, dtype=torch.float64))

    def share(e: float, other: float) -> float:
        return exp(e) / (exp(e) + exp(other))

    a = share(2 * tanh(0.3 + 0.5 - 1), 2 * tanh(0.3 + 0.25 - 1))
    assert first[0, 0].item() == pytest.approx(a)
    assert second[0, 0].item() == pytest.approx(share(2 * tanh(0.3 + 0.5 - 1), 2 * tanh(0.3 + 0.25 + 5 * a - 1)))


def test_cumulative_weights_remember_every_query() -> None:
    torch.manual_seed(0)
    attention = Location(3, 3, 5, filters=2, kernel=3, cumulative=True).double()
    prepared, seen, total = attention.prepare(ragged(6, 4)), None, torch.zeros(2, 6, dtype=torch.float64)
    for query in torch.randn(4, 2, 3, dtype=torch.float64):
        _, weights, seen = attention(query, prepared, seen)
        total = total + weights
        assert torch.equal(seen, total)


# ---- against others


def test_scaled_dot_is_that_of_torch() -> None:
    memory, query = ragged(7, 3, 1), torch.randn(3, 5, 3, dtype=torch.float64)
    attention = content_attention("scaled_dot", 3, 3)
    context, _ = attention.ask(query, attention.prepare(memory))
    clean = memory.values.nan_to_num()
    assert memory.lengths is not None
    mask = (torch.arange(7) < memory.lengths[:, None])[:, None]
    assert torch.allclose(context, F.scaled_dot_product_attention(query, clean, clean, mask), rtol=0, atol=1e-12)


@by_kind
def test_attention_is_a_loop_over_the_frames_of_a_row(make: Callable[[], Attention]) -> None:
    """Row by row, frame by frame, from the equations; the weights of the query before by a convolution that is written out."""
    torch.manual_seed(0)
    attention, lengths = make().double(), (7, 0, 2)
    memory, queries = ragged(*lengths), torch.randn(3, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        contexts, weights = asked(attention, memory, queries)
        for row, n in enumerate(lengths):
            seen = [0.0] * n
            for step, query in enumerate(queries[:, row]):
                scores = [loop_score(attention, query, memory.values[row, m], seen, m) for m in range(n)]
                want = torch.softmax(torch.stack(scores), 0) if n else torch.zeros(0, dtype=torch.float64)
                assert torch.allclose(weights[step][row, :n], want, rtol=0, atol=1e-12)
                assert not weights[step][row, n:].any()
                assert torch.allclose(contexts[step][row], want @ memory.values[row, :n], rtol=0, atol=1e-12)
                seen = [b + (a if getattr(attention, "cumulative", False) else 0) for a, b in zip(seen, want.tolist(), strict=True)]


def loop_score(attention: Attention, query: Tensor, frame: Tensor, seen: list[float], m: int) -> Tensor:
    match attention:
        case Dot():
            return attention.scale * sum((q * f for q, f in zip(query, frame, strict=True)), start=query.new_zeros(()))
        case General():
            return query @ (attention.memory.weight @ frame)
        case Additive():
            hidden = attention.query.weight @ query + attention.memory.weight @ frame + attention.memory.bias
            return attention.score.weight[0] @ torch.tanh(hidden)
        case Location():
            kernel = attention.filters[:, 0]
            reach = kernel.shape[1] // 2
            near = [seen[m + k] if 0 <= m + k < len(seen) else 0.0 for k in range(-reach, reach + 1)]
            content = attention.content
            hidden = content.query.weight @ query + content.memory.weight @ frame + content.memory.bias
            hidden = hidden + attention.place.weight @ (kernel @ torch.tensor(near, dtype=torch.float64))
            return content.score.weight[0] @ torch.tanh(hidden)
    raise AssertionError(attention)


# ---- where there is little or nothing to look at


@by_kind
def test_a_row_without_memory_is_answered_with_zeros(make: Callable[[], Attention]) -> None:
    attention = make().double()
    query = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    context, weights, seen = attention(query, attention.prepare(ragged(4, 0)))
    assert not context[1].any() and not weights[1].any() and not seen[1].any()
    found = torch.autograd.grad(context.sum() + seen.sum(), [query, *attention.parameters()], allow_unused=True)
    assert all(g is None or bool(g.isfinite().all()) for g in found)


@by_kind
def test_a_memory_of_no_frames_at_all(make: Callable[[], Attention]) -> None:
    attention = make().double()
    for memory in (Seq(torch.zeros(2, 0, 3, dtype=torch.float64)), ragged(0, 0)):
        contexts, weights = asked(attention, memory, torch.ones(2, 2, 3, dtype=torch.float64))
        assert contexts[1].tolist() == [[0, 0, 0], [0, 0, 0]] and weights[1].shape == (2, 0)


@by_kind
def test_a_row_alone_is_answered_as_in_a_batch(make: Callable[[], Attention]) -> None:
    """Whatever it is padded with, and whatever its neighbours are."""
    torch.manual_seed(0)
    attention, memory, queries = make().double(), ragged(7, 2), torch.randn(3, 2, 3, dtype=torch.float64)
    together, _ = asked(attention, memory, queries)
    alone, _ = asked(attention, Seq(memory.values[1:, :2]), queries[:, 1:])
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a[1:], b, rtol=0, atol=1e-12)


@by_kind
def test_gradients_are_those_of_finite_differences(make: Callable[[], Attention]) -> None:
    torch.manual_seed(0)
    attention, queries = make().double(), torch.randn(2, 2, 3, dtype=torch.float64)
    names = [name for name, _ in attention.named_parameters()]

    def answer(memory: Tensor, *weights: Tensor) -> Tensor:
        net = _Steps(attention)
        return torch.func.functional_call(
            net, {f"attention.{n}": w for n, w in zip(names, weights, strict=True)}, (memory, torch.tensor([4, 2]), queries)
        )

    memory = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(answer, (memory, *attention.parameters()), fast_mode=True)


class _Steps(nn.Module):
    """Two steps of a decoder, the second knowing where the first looked."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, values: Tensor, lengths: Tensor, queries: Tensor) -> Tensor:
        memory = self.attention.prepare(Seq(values, lengths))
        first, _, seen = self.attention(queries[0], memory)
        second, weights, _ = self.attention(queries[1], memory, seen)
        return torch.cat([first, second, weights], -1)


@by_kind
def test_a_step_exports_at_any_size_of_batch_and_memory(make: Callable[[], Attention]) -> None:
    torch.manual_seed(0)
    net, dynamic = _Steps(make().double()), torch.export.Dim.DYNAMIC
    sample = ragged(6, 3, 2)
    assert sample.lengths is not None
    sizes = ({0: dynamic, 1: dynamic}, {0: dynamic}, {1: dynamic})
    with torch.no_grad():
        program = torch.export.export(net, (sample.values, sample.lengths, torch.randn(2, 3, 3).double()), dynamic_shapes=sizes)
        for lengths in ((9, 0, 1, 9), (2, 5)):
            x, queries = ragged(*lengths), torch.randn(2, len(lengths), 3).double()
            got = program.module()(x.values, x.lengths, queries)
            assert x.lengths is not None and torch.allclose(got, net(x.values, x.lengths, queries), rtol=0, atol=1e-12)


# ---- as a layer


@pytest.mark.parametrize("kind", ["additive", "dot", "scaled_dot", "general"])
def test_the_layer_asks_for_every_frame(kind: str) -> None:
    spec = cr.Spec.from_dict({"attend": {"linear": 4}, "memory": {"conv": 4, "stride": 3}, "kind": kind})
    net = spec.build(3).double()
    x = ragged(8, 0, 5)
    y, weights = net(x).seq, net.inside(x)["weights"]
    assert weights.shape == (3, 8, 3)
    query, memory = (layer(x).seq.values for _, layer in net.parts())
    assert torch.allclose(weights[2, :5].sum(1), torch.ones(5).double()) and not weights[2, :, 2:].any() and not weights[1].any()
    assert torch.allclose(y.values[2, :5], torch.cat([query[2, :5], weights[2, :5, :2] @ memory[2, :2]], -1), atol=1e-12)


def test_one_query_a_row_is_a_pooling() -> None:
    net = cr.Attend(cr.Serial(cr.GRU(4), cr.GlobalPool("last")), cr.Linear(6), merge="context").build(3)
    x = Seq(torch.randn(2, 9, 3), torch.tensor([9, 4]))
    assert (net.ratio, net.out_shape, net(x).seq.values.shape) == (0, (6,), (2, 1, 6))
    assert net.inside(x)["weights"][1, 0, 4:].abs().sum() == 0


MISTAKES: dict[str, tuple[Callable[[], object], type[InputError], str]] = {
    "a dot product of unequal widths": (
        lambda: cr.Serial(cr.Attend(cr.GRU(4), cr.Conv(6), kind="dot")).build(3),
        ShapeError,
        "0.attend: a query of 4 and a memory of 6 channels have no dot product; use kind='general'",
    ),
    "a size without a hidden layer": (
        lambda: cr.Attend(cr.GRU(4), cr.Conv(6), kind="general", size=8),
        SpecError,
        "attend.size: belongs to kind='additive', got kind='general'; leave size out",
    ),
    "location between frames": (
        lambda: cr.Spec.from_yaml("[{attend: {gru: 4}, memory: {gru: 4}, kind: location}]"),
        SpecError,
        "0.attend.kind: expected 'additive', 'dot', 'scaled_dot' or 'general', got 'location'",
    ),
    "a memory of pictures": (
        lambda: cr.Attend(cr.Fold(), cr.Conv(4)).build((5, 1)),
        ShapeError,
        "attend: expected frames without space, got (5, 4); put a Fold first",
    ),
    "a memory that cannot be built": (
        lambda: cr.Attend(cr.GRU(4), cr.Conv(4, groups=2)).build(3),
        ShapeError,
        "attend.memory.conv: expected groups=2 to divide 3 input channels",
    ),
    "a chunk": (
        lambda: cr.Attend(cr.GRU(4), cr.GRU(4)).build(3)(Seq(torch.zeros(1, 2, 3)), None, False),
        NotStreamable,
        "attend: cannot stream: every frame looks at the whole row; "
        "use GlobalPool('attention'), or a recurrent layer in place of the attention",
    ),
    "an even kernel of places": (lambda: Location(2, 2, 2, kernel=4), UsageError, "location.kernel: expected an odd number, got 4; use 5"),
}


@pytest.mark.parametrize(("make", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(make: Callable[[], object], kind: type[InputError], message: str) -> None:
    refused(make, kind, message)
