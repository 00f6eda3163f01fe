"""The linear-chain CRF against all paths written out, against the definition, at the ends of the number range, and as operators."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from convrnn.core.errors import ShapeError, UsageError
from convrnn.kernels import crf, dispatch, lattice, native
from convrnn.kernels.lattice import Chain

INF = torch.inf
SIZES = {
    # B, T, K, lengths
    "plain": (3, 5, 3, None),
    "ragged": (4, 7, 5, (7, 0, 3, 1)),
    "all-empty": (2, 3, 2, (0, 0)),
    "no-frames": (2, 0, 3, None),
    "one-frame": (2, 1, 4, (1, 0)),
    "one-tag": (2, 4, 1, (4, 2)),
    "no-rows": (0, 5, 2, None),
    "register": (2, 3, 8, None),
    "beyond-registers": (3, 9, 33, (9, 2, 8)),
    "many-rows": (37, 3, 2, None),
}
by_size = pytest.mark.parametrize("size", SIZES)
needs_compiled = pytest.mark.skipif(not isinstance(native._load(), ModuleType), reason="installed without compiled kernels")


@pytest.fixture(params=[pytest.param("require", marks=needs_compiled), "off"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CONVRNN_NATIVE", request.param)
    return request.param


class Inputs(NamedTuple):
    emissions: Tensor
    chain: Chain
    lengths: Tensor | None

    def leaves(self) -> tuple[Tensor, ...]:
        return self.emissions, *self.chain

    def having(self, emissions: Tensor, *chain: Tensor) -> Inputs:
        return Inputs(emissions, Chain(*chain), self.lengths)


def inputs(size: str, dtype: torch.dtype = torch.float64, spread: float = 2.0, forbid: float = 0.0) -> Inputs:
    """Normal scores `spread` wide, each forbidden with probability `forbid`; gradients are wanted of all."""
    batch, frames, num_tags, lengths = SIZES[size]
    generator = torch.Generator().manual_seed(7)

    def make(*shape: int) -> Tensor:
        scores = torch.randn(*shape, generator=generator, dtype=dtype) * spread
        return scores.masked_fill(torch.rand(shape, generator=generator) < forbid, -INF).requires_grad_()

    counts = None if lengths is None else torch.tensor(lengths)
    return Inputs(make(batch, frames, num_tags), Chain(make(num_tags, num_tags), make(num_tags), make(num_tags)), counts)


def gradients(log_z: Tensor, given: Inputs) -> list[Tensor]:
    weight = torch.linspace(-1, 2, log_z.shape[0], dtype=log_z.dtype)
    return list(torch.autograd.grad(log_z, given.leaves(), weight, allow_unused=True, materialize_grads=True))


def close(got: Tensor, want: Tensor, tolerance: float = 1e-10) -> bool:
    return got.shape == want.shape and got.dtype == want.dtype and torch.allclose(got, want, rtol=tolerance, atol=tolerance)


def all_paths(given: Inputs, row: int) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every path through a row, with its score added up number by number."""
    emissions, (transitions, start, end) = given.emissions[row].tolist(), (each.tolist() for each in given.chain)
    length = len(emissions) if given.lengths is None else int(given.lengths[row])
    for tags in product(range(given.emissions.shape[2]), repeat=length):
        total = sum(frame[tag] for frame, tag in zip(emissions, tags, strict=False))
        total += sum(transitions[i][j] for i, j in pairwise(tags))
        yield tags, total + (start[tags[0]] + end[tags[-1]] if tags else 0.0)


# ---- what it computes

WRITTEN_OUT = pytest.mark.parametrize("size", ["plain", "one-frame", "one-tag", "all-empty", "register"])
FORBIDDING = pytest.mark.parametrize("forbid", [0.0, 0.3], ids=["all-allowed", "some-forbidden"])


@FORBIDDING
@WRITTEN_OUT
def test_equals_all_paths_written_out(route: str, size: str, forbid: float) -> None:
    """log Z, the probability of each tag, and the score and log likelihood of each path."""
    given = inputs(size, forbid=forbid)
    log_z, marginals = crf.log_partition(*given), crf.marginals(*given)
    for row in range(given.emissions.shape[0]):
        paths = list(all_paths(given, row))
        scores = torch.tensor([score for _, score in paths], dtype=torch.float64)
        assert close(log_z[row], scores.logsumexp(0))
        want = torch.zeros_like(marginals[row])
        for (tags, _), share in zip(paths, (scores - scores.logsumexp(0)).exp().tolist(), strict=True):
            for t, tag in enumerate(tags):
                want[t, tag] += share if share == share else 0.0
        assert close(marginals[row], want)
        for (tags, score), _ in zip(paths, range(20), strict=False):
            one = torch.tensor([[*tags, *[-100] * (given.emissions.shape[1] - len(tags))]])
            alone = Inputs(given.emissions[row : row + 1], given.chain, torch.tensor([len(tags)]))
            assert close(crf.score(alone.emissions, alone.chain, one, alone.lengths)[0], torch.tensor(score, dtype=torch.float64))
            likelihood = crf.log_likelihood(alone.emissions, alone.chain, one, alone.lengths)[0]
            assert close(likelihood, torch.tensor(score, dtype=torch.float64) - log_z[row] if score > -INF else torch.tensor(-INF).double())


@FORBIDDING
@WRITTEN_OUT
@pytest.mark.parametrize("count", [1, 3, 300])
def test_best_paths_of_all_paths_written_out(route: str, size: str, count: int, forbid: float) -> None:
    """The first `count` of all, sorted; what does not exist is -1 and -inf."""
    given = inputs(size, forbid=forbid)
    tags, scores = crf.best_paths(*given, count)
    assert tags.dtype == torch.int64 and tags.shape == (given.emissions.shape[0], count, given.emissions.shape[1])
    for row in range(given.emissions.shape[0]):
        paths = sorted((path for path in all_paths(given, row) if path[1] > -INF), key=lambda path: -path[1])[:count]
        for n in range(count):
            path, score = paths[n] if n < len(paths) else ((), -INF)
            assert tags[row, n].tolist() == [*path, *[-1] * (tags.shape[2] - len(path))]
            assert close(scores[row, n], torch.tensor(score, dtype=torch.float64))
    best, score = crf.viterbi(*given)
    assert torch.equal(best, tags[:, 0]) and torch.equal(score, scores[:, 0])


def test_by_hand(route: str) -> None:
    """Two tags, two frames, only 0 -> 1 and 1 -> 1 allowed: exp(1 + 3 + 5 + 20) and exp(2 + 4 + 7 + 20)."""
    emissions = torch.tensor([[[1.0, 2.0], [100.0, 3.0]]])
    chain = Chain(torch.tensor([[-INF, 5.0], [-INF, 7.0]]), torch.tensor([0.0, 1.0]), torch.tensor([9.0, 20.0]))
    assert crf.viterbi(emissions, chain)[1].item() == 33 and crf.viterbi(emissions, chain)[0].tolist() == [[1, 1]]
    assert crf.log_partition(emissions, chain).item() == pytest.approx(33 + torch.tensor(-4.0).exp().log1p().item())
    assert crf.score(emissions, chain, torch.tensor([[0, 1]])).item() == 29


def test_equal_paths_stand_in_the_order_of_their_tags(route: str) -> None:
    zeros = Inputs(torch.zeros(1, 2, 3), Chain(torch.zeros(3, 3), torch.zeros(3), torch.zeros(3)), None)
    tags, _ = crf.best_paths(*zeros, 9)
    assert tags[0].tolist() == [[i, j] for j in range(3) for i in range(3)]


@pytest.mark.parametrize("count", [1, 6])
def test_among_many_equal_paths_the_same_as_the_definition(route: str, count: int) -> None:
    """Scores of 0, 1 and 2, so that most paths are equal to some other."""
    generator = torch.Generator().manual_seed(8)
    emissions, transitions, ends = (torch.randint(3, shape, generator=generator).double() for shape in ((6, 8, 5), (5, 5), (2, 5)))
    given = Inputs(emissions, Chain(transitions, *ends), torch.tensor([8, 7, 6, 5, 4, 3]))
    for got, want in zip(crf.best_paths(*given, count), lattice.viterbi(*given, count), strict=True):
        assert torch.equal(got, want)


# ---- the operator and the definition


@FORBIDDING
@by_size
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_fast_equals_the_definition(route: str, size: str, forbid: float, dtype: torch.dtype) -> None:
    """Values; and gradients of the forward-backward pass against autograd through the readable loop."""
    given = inputs(size, dtype, forbid=forbid)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    got, want = crf.log_partition(*given), lattice.log_partition(*given)
    assert close(got, want, tolerance)
    for a, b in zip(gradients(got, given), gradients(want, given), strict=True):
        assert bool(torch.isfinite(a).all()) and close(a, b, tolerance)
    for a, b in zip(crf.best_paths(*given, 4), lattice.viterbi(*given, 4), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("spread", [1e2, 1e4])
@pytest.mark.parametrize("size", ["ragged", "beyond-registers"])
def test_scores_far_apart(route: str, size: str, spread: float) -> None:
    """e^-10000 is 0, but it may be all that a path has."""
    given = inputs(size, spread=spread)
    transitions = given.chain.transitions.detach().clone()
    transitions[:, 0], transitions[1] = -1e4, -1e4
    given = given.having(given.emissions, transitions.requires_grad_(), *given.chain[1:])
    got, want = crf.log_partition(*given), lattice.log_partition(*given)
    assert close(got, want)
    for a, b in zip(gradients(got, given), gradients(want, given), strict=True):
        assert close(a, b, 1e-9)


def test_the_only_way_leads_through_the_faintest_tag(route: str) -> None:
    """Tag 0 is e^2000 times as probable at the first frame, and may not be left."""
    emissions = torch.tensor([[[1000.0, -1000.0], [0.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    chain = Chain(torch.tensor([[-INF, -INF], [-INF, 3.0]]), torch.zeros(2), torch.zeros(2))
    log_z = crf.log_partition(emissions, chain)
    assert log_z.item() == -997
    (found,) = torch.autograd.grad(log_z.sum(), emissions)
    assert found.tolist() == [[[0, 1], [0, 1]]]


def test_where_no_path_is_left(route: str) -> None:
    """log Z is -inf, its gradient zero, and no NaN reaches the rows beside it."""
    given = inputs("plain")
    emissions = given.emissions.detach().clone()
    emissions[1, 2] = -INF
    given = given.having(emissions.requires_grad_(), *given.chain)
    log_z = crf.log_partition(*given)
    assert log_z[1].item() == -INF and bool(torch.isfinite(log_z[[0, 2]]).all())
    found = gradients(log_z, given)
    assert all(bool(torch.isfinite(each).all()) for each in found) and not found[0][1].any() and bool(found[0][0].any())
    tags, score = crf.viterbi(*given)
    assert tags[1].tolist() == [-1] * 5 and score[1].item() == -INF
    likelihood = crf.log_likelihood(given.emissions, given.chain, torch.zeros(3, 5, dtype=torch.int64))
    assert likelihood[1].item() == -INF and not any(bool(each.isnan().any()) for each in gradients(likelihood, given))


def test_bio_forbids_inside_behind_outside(route: str) -> None:
    """O, B, I; I may follow B and I only: no path has it elsewhere, and nothing pulls the forbidden score."""
    transitions = torch.zeros(3, 3, dtype=torch.float64)
    transitions[0, 2] = -INF
    start = torch.tensor([0.0, 0.0, -INF]).double()
    generator = torch.Generator().manual_seed(3)
    emissions = torch.randn(8, 30, 3, generator=generator, dtype=torch.float64) * 5
    chain = Chain(transitions.requires_grad_(), start.requires_grad_(), torch.zeros(3).double())
    tags, _ = crf.best_paths(emissions, chain, None, 5)
    inside = tags[..., 1:] == 2
    assert not tags[..., 0].eq(2).any() and not (inside & tags[..., :-1].eq(0)).any() and bool(inside.any())
    loss = crf.log_partition(emissions, chain).sum()
    to_transitions, to_start = torch.autograd.grad(loss, (transitions, start))
    assert to_transitions[0, 2] == 0 and to_start[2] == 0 and bool((to_transitions[1] > 0).all())


@by_size
def test_what_the_padding_holds_is_not_read(route: str, size: str) -> None:
    """NaN there, and lengths that say too much or too little are those of the tensor."""
    given = inputs(size)
    batch, frames, _ = given.emissions.shape
    if given.lengths is None:
        for counts in (torch.full((batch,), frames), torch.full((batch,), frames + 9)):
            assert torch.equal(crf.log_partition(given.emissions, given.chain, counts), crf.log_partition(*given))
        return
    poisoned = given.emissions.detach().clone()
    poisoned[torch.arange(frames) >= given.lengths[:, None]] = torch.nan
    poisoned.requires_grad_()
    other = given.having(poisoned, *given.chain)
    got, want = crf.log_partition(*other), crf.log_partition(*given)
    for a, b in zip((got, *gradients(got, other)), (want, *gradients(want, given)), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(crf.best_paths(*other, 2), crf.best_paths(*given, 2), strict=True):
        assert torch.equal(a, b)
    below = torch.where(given.lengths == 0, -3, given.lengths)
    assert torch.equal(crf.log_partition(given.emissions, given.chain, below), want)


@pytest.mark.parametrize("frame", [0, 2, 4])
def test_a_nan_is_not_hidden(route: str, frame: int) -> None:
    given = inputs("plain", forbid=0.2)
    emissions = given.emissions.detach().clone()
    emissions[0, frame, 1] = torch.nan
    log_z = crf.log_partition(emissions, given.chain)
    assert log_z.isnan().tolist() == [True, False, False]


def test_a_thousand_frames_in_float32(route: str) -> None:
    """Marginals to 1e-5: with sums in float32 they have three digits."""
    generator = torch.Generator().manual_seed(2)
    emissions, transitions = torch.randn(2, 1000, 6, generator=generator) * 3, torch.randn(6, 6, generator=generator)
    chain = Chain(transitions, torch.zeros(6), torch.zeros(6))
    got = crf.marginals(emissions, chain)
    assert got.dtype == torch.float32 and torch.allclose(got.sum(2), torch.ones(2, 1000), atol=1e-6)
    want = torch.autograd.functional.jacobian(lambda e: lattice.log_partition(e, chain.double(), None).sum(), emissions[:1, :40].double())
    head = crf.marginals(emissions[:1, :40], chain)
    assert isinstance(want, Tensor) and close(head.double(), want, 1e-6)
    assert close(crf.log_partition(emissions, chain).double(), lattice.log_partition(emissions.double(), chain, None), 1e-6)


def test_half_precision_runs_the_definition(route: str) -> None:
    given = inputs("ragged", torch.float32)
    half = given.having(*(each.detach().bfloat16() for each in given.leaves()))
    assert crf.log_partition(*half).dtype == torch.bfloat16
    want = crf.log_partition(*half.having(*(each.float() for each in half.leaves())))
    assert torch.equal(crf.log_partition(*half), want.bfloat16())


# ---- the compiled loops

LARGE = (33, 40, 19)


def large() -> tuple[Inputs, Tensor]:
    """Enough for four threads."""
    generator = torch.Generator().manual_seed(4)
    batch, frames, num_tags = LARGE
    emissions, transitions = torch.randn(LARGE, generator=generator) * 4, torch.randn(num_tags, num_tags, generator=generator) * 4
    chain = Chain(transitions, *torch.randn(2, num_tags, generator=generator))
    return Inputs(emissions, chain, torch.randint(frames + 1, (batch,), generator=generator)), torch.rand(batch, generator=generator)


def answers() -> list[Tensor]:
    given, weight = large()
    expectations = torch.ops.convrnn.crf_expectations(given.emissions, *given.chain, given.lengths, weight)
    return [crf.log_partition(*given), *expectations, *crf.best_paths(*given, 3)]


@needs_compiled
@pytest.mark.parametrize("threads", [2, 4])
def test_the_same_bits_with_any_number_of_threads(threads: int) -> None:
    want = answers()
    torch.set_num_threads(threads)
    try:
        got = answers()
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@needs_compiled
@pytest.mark.parametrize("isa", ["portable", pytest.param("avx2", marks=pytest.mark.full)])
def test_the_other_instruction_sets(isa: str, tmp_path: Path, root: Path) -> None:
    """Chosen once a process, so in a process of their own."""
    code = "import sys, torch; from tests.kernels.test_crf import *; torch.save(answers(), sys.argv[1]); print(native.compiled().isa())"
    environment = {
        **os.environ,
        "CONVRNN_NATIVE": "require",
        "CONVRNN_ISA": isa,
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-c", code, str(tmp_path / "answers")]
    ran = subprocess.run(command, check=True, cwd=root, env=environment, capture_output=True, text=True)
    # Another processor knows one only.
    assert ran.stdout.strip() in (isa, "portable")
    for got, want in zip(torch.load(tmp_path / "answers"), answers(), strict=True):
        assert close(got, want, 1e-5)


@needs_compiled
def test_strided_inputs() -> None:
    given, weight = large()
    strided = Inputs(
        given.emissions.transpose(0, 1).contiguous().transpose(0, 1), Chain(given.chain[0].T.contiguous().T, *given.chain[1:]), None
    )
    assert torch.equal(crf.log_partition(*strided), crf.log_partition(given.emissions, given.chain))
    repeated = weight[:1].expand(LARGE[0])
    got = torch.ops.convrnn.crf_expectations(given.emissions, *given.chain, None, repeated)
    want = torch.ops.convrnn.crf_expectations(given.emissions, *given.chain, None, repeated.clone())
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_the_definition_stays_on_its_device() -> None:
    """Tensors without numbers stand for another device: what is made in between must be there too."""
    meta = inputs("ragged")
    meta = Inputs(
        meta.emissions.to("meta"), Chain(*(each.to("meta") for each in meta.chain)), torch.empty(4, dtype=torch.int64, device="meta")
    )
    weight = torch.empty(4, device="meta")
    tags = torch.empty(4, 7, dtype=torch.int64, device="meta")
    log_z, (marginals, counts) = lattice.log_partition(*meta), lattice.expectations(*meta, weight)
    found = [log_z, marginals, *counts, *lattice.viterbi(*meta, 2), lattice.score(meta.emissions, meta.chain, tags, meta.lengths)]
    assert {each.device.type for each in found} == {"meta"} and log_z.shape == (4,) and marginals.shape == meta.emissions.shape


# ---- as operators

OPERATORS = [pytest.param(size, marks=[] if size == "ragged" else pytest.mark.full) for size in SIZES]


@pytest.mark.parametrize("size", OPERATORS)
def test_the_operators_are_sound(route: str, size: str) -> None:
    """Schema, fake tensors, autograd registration, aliasing and AOT dispatch, as `torch.library.opcheck` tells."""
    given = inputs(size)
    torch.library.opcheck(torch.ops.convrnn.crf_log_partition.default, (*given.leaves(), given.lengths))
    detached = [each.detach() for each in given.leaves()]
    torch.library.opcheck(torch.ops.convrnn.crf_expectations.default, (*detached, given.lengths, torch.ones(given.emissions.shape[0])))
    torch.library.opcheck(torch.ops.convrnn.crf_viterbi.default, (*detached, given.lengths, 2))


@pytest.mark.parametrize("size", ["ragged", "no-frames"])
def test_the_fakes_know_the_layout(route: str, size: str) -> None:
    """Inputs may lie in any order; what comes out is dense."""
    emissions, (transitions, start, end), lengths = inputs(size)
    laid = [emissions.detach().transpose(0, 2).contiguous().transpose(0, 2), transitions.detach().T, start.detach().flip(0), end.detach()]
    ops = torch.ops.convrnn
    for operator, more in ((ops.crf_log_partition, ()), (ops.crf_expectations, (torch.ones(emissions.shape[0]),)), (ops.crf_viterbi, (2,))):
        torch.library.opcheck(operator.default, (*laid, lengths, *more), test_utils="test_faketensor")


@pytest.mark.parametrize("size", ["plain", "ragged", "one-tag"])
def test_gradcheck(route: str, size: str) -> None:
    given = inputs(size)
    assert torch.autograd.gradcheck(lambda *leaves: crf.log_partition(*given.having(*leaves)), given.leaves(), fast_mode=True)


def test_a_second_derivative_names_the_way_out(route: str) -> None:
    given = inputs("plain")
    (first,) = torch.autograd.grad(crf.log_partition(*given).sum(), given.emissions, create_graph=True)
    with pytest.raises(UsageError) as raised:
        torch.autograd.grad(first.square().sum(), given.emissions)
    assert str(raised.value) == "convrnn::crf_log_partition: it has no second derivative; compute it inside kernels.use('reference')"


def test_the_definition_can_be_derived_twice() -> None:
    """The second derivative of log Z is the covariance of the counts; -inf among the scores leaves it finite."""
    given = inputs("plain", forbid=0.2)
    with dispatch.use("reference"):
        marginals = crf.marginals(*given)
        (first,) = torch.autograd.grad(crf.log_partition(*given).sum(), given.emissions, create_graph=True)
    assert close(first, marginals)
    (second,) = torch.autograd.grad(first[0, 0, 0], given.emissions)
    share = marginals[0, 0, 0].item()
    assert float(second[0, 0, 0]) == pytest.approx(share * (1 - share)) and bool(torch.isfinite(second).all())


def test_autocast_runs_in_float32() -> None:
    given = inputs("ragged", torch.float32)
    half = given.emissions.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        got = crf.log_partition(half, given.chain, given.lengths)
    assert got.dtype == torch.float32 and torch.equal(got, crf.log_partition(half.float(), given.chain, given.lengths))


def test_compile_sees_one_node() -> None:
    """No graph break, and the eager gradients; no other graph for another T."""

    def answer(*given: Any) -> Tensor:
        return crf.log_partition(given[0], Chain(*given[1:4]), given[4])

    compiled = torch.compile(answer, backend="aot_eager", fullgraph=True, dynamic=True)
    for size in ("ragged", "beyond-registers"):
        given = inputs(size)
        got, want = compiled(*given.leaves(), given.lengths), crf.log_partition(*given)
        for a, b in zip((got, *gradients(got, given)), (want, *gradients(want, given)), strict=True):
            assert torch.equal(a, b)


# ---- what is refused


def test_what_does_not_fit_together_is_one_line() -> None:
    emissions, chain, _ = inputs("plain")
    cases: list[Any] = [
        ((emissions[0], chain), "expected floating emissions [B, T, K] with K > 0, got torch.float64 [5, 3]"),
        ((emissions.long(), chain), "expected floating emissions [B, T, K] with K > 0, got torch.int64 [3, 5, 3]"),
        ((emissions[..., :2], chain), "expected transitions [2, 2] for 2 tags, got [3, 3]"),
        ((emissions, chain._replace(end=torch.zeros(2))), "expected end [3] for 3 tags, got [2]"),
        ((emissions, chain, torch.tensor([5])), "expected 3 length(s), got [1]"),
    ]
    for given, problem in cases:
        for answer in (crf.log_partition, crf.marginals, crf.viterbi):
            with pytest.raises(ShapeError) as raised:
                answer(*given)
            assert str(raised.value) == f"crf: {problem}"
    with pytest.raises(ShapeError, match=r"^crf: expected tags \[3, 5\], got \[3, 4\]$"):
        crf.score(emissions, chain, torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(UsageError, match=r"^crf: expected a count of 1 or more, got 0$"):
        crf.best_paths(emissions, chain, None, 0)
