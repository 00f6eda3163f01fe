"""Transcripts under CTC against all paths written out, against torch's loss and the definition, and in chunks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import groupby, product
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convrnn.core.errors import ShapeError, UsageError
from convrnn.kernels import ctc, dispatch, native
from convrnn.kernels.lattice import Beam

INF = torch.inf
needs_compiled = pytest.mark.skipif(not isinstance(native._load(), ModuleType), reason="installed without compiled kernels")


@pytest.fixture(params=[pytest.param("require", marks=needs_compiled), "off"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CONVRNN_NATIVE", request.param)
    return request.param


def net(batch: int, frames: int, num_symbols: int, seed: int = 1, sharp: float = 1.5, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, frames, num_symbols, generator=generator, dtype=torch.float64)
    return (sharp * scores).log_softmax(2).to(dtype)


def bigram(num_symbols: int) -> Tensor:
    """With some pairs forbidden."""
    scores = net(num_symbols, 1, num_symbols, seed=9)[:, 0]
    return scores.masked_fill(scores < -2.5, -INF)


class Truth(NamedTuple):
    """Of one transcript, by all its paths: the log of the sum, and the best path's log probability and label beginnings."""

    log_prob: float
    best: float
    frames: tuple[int, ...]


def written_out(log_probs: Tensor, blank: int) -> dict[tuple[int, ...], Truth]:
    """Every transcript of a row `[T, K]`."""
    frames = log_probs.tolist()
    sums: dict[tuple[int, ...], list[tuple[float, tuple[int, ...]]]] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(frames)):
        begins = [(t, symbol) for t, symbol in enumerate(path) if symbol != blank and (t == 0 or path[t - 1] != symbol)]
        score = sum(frame[symbol] for frame, symbol in zip(frames, path, strict=True))
        sums.setdefault(tuple(symbol for _, symbol in begins), []).append((score, tuple(t for t, _ in begins)))
    found: dict[tuple[int, ...], Truth] = {}
    for labels, paths in sums.items():
        best = max(paths)
        found[labels] = Truth(float(torch.tensor([score for score, _ in paths], dtype=torch.float64).logsumexp(0)), *best)
    return found


def listed(found: ctc.Transcripts, row: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], float, float]]:
    """Labels, frames, log probability and score of the transcripts that exist."""
    for n, length in enumerate(found.lengths[row].tolist()):
        if found.log_probs[row, n] > -INF:
            labels, frames = found.labels[row, n].tolist(), found.frames[row, n].tolist()
            assert labels[length:] == frames[length:] == [-1] * (len(labels) - length) and min([0, *labels[:length]]) >= 0
            yield tuple(labels[:length]), tuple(frames[:length]), float(found.log_probs[row, n]), float(found.scores[row, n])


def equal(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# ---- what it computes


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize(("frames", "num_symbols"), [(0, 3), (1, 3), (4, 3), (6, 3), (4, 4)])
def test_a_wide_beam_finds_all_transcripts_written_out(route: str, frames: int, num_symbols: int, blank: int) -> None:
    """In order, each with the sum over its paths and the beginnings of its best one."""
    log_probs = net(2, frames, num_symbols)
    found = ctc.transcripts(ctc.beam_search(log_probs, beam=400, blank=blank), 400)
    for row in range(2):
        want = written_out(log_probs[row], blank)
        got = list(listed(found, row))
        assert [labels for labels, *_ in got] == sorted(want, key=lambda labels: -want[labels].log_prob)
        for labels, begins, log_prob, score in got:
            assert log_prob == score == pytest.approx(want[labels].log_prob, abs=1e-12)
            assert begins == want[labels].frames
        assert torch.allclose(found.log_probs[row].logsumexp(0), torch.zeros(1, dtype=torch.float64), atol=1e-12)


def test_the_loss_of_torch_is_minus_the_log_probability(route: str) -> None:
    log_probs, lengths = net(3, 9, 4, sharp=3), torch.tensor([9, 7, 4])
    found = ctc.transcripts(ctc.beam_search(log_probs, lengths, beam=4000), 1)
    labels = found.labels[:, 0].clamp(min=1)
    loss = F.ctc_loss(log_probs.transpose(0, 1), labels, lengths, found.lengths[:, 0], reduction="none")
    assert torch.allclose(loss, -found.log_probs[:, 0], rtol=1e-12) and found.lengths[:, 0].min() > 0


@pytest.mark.parametrize("with_bigram", [False, True])
def test_bonus_and_bigram_reorder_the_transcripts(route: str, with_bigram: bool) -> None:
    """Score = log probability + bonus for each label + the bigram along the labels, the blank's row first."""
    log_probs, pairs = net(1, 5, 4), bigram(4) if with_bigram else None
    found = ctc.transcripts(ctc.beam_search(log_probs, beam=2000, blank=3, bonus=0.7, bigram=pairs), 2000)
    want = {labels: truth.log_prob for labels, truth in written_out(log_probs[0], 3).items()}

    def scored(labels: tuple[int, ...]) -> float:
        along = zip((3, *labels), labels, strict=False)
        return want[labels] + sum(0.7 + (0.0 if pairs is None else float(pairs[i, j])) for i, j in along)

    got = list(listed(found, 0))
    assert {labels for labels, *_ in got} == {labels for labels in want if scored(labels) > -INF}
    for labels, _, log_prob, score in got:
        assert log_prob == pytest.approx(want[labels], abs=1e-12) and score == pytest.approx(scored(labels), abs=1e-12)
    assert [score for *_, score in got] == sorted((score for *_, score in got), reverse=True)


def test_by_hand(route: str) -> None:
    """Blank 0.6, a 0.4, twice: the best path is no label, 0.36; "a" has 0.24 + 0.24 + 0.16. Then a, blank, a and a, a, a."""
    two = torch.tensor([[[0.6, 0.4]] * 2], dtype=torch.float64).log()
    found = ctc.transcripts(ctc.beam_search(two), 3)
    assert found.labels.tolist() == [[[1], [-1]]] or found.labels[0, :2].tolist() == [[1], [-1]]
    assert found.scores[0, :2].exp().tolist() == pytest.approx([0.64, 0.36])
    assert ctc.greedy(two).labels.tolist() == [[-1, -1]]
    three = torch.tensor([[[0.5, 0.5]] * 3], dtype=torch.float64).log()
    again = {labels: log_prob for labels, _, log_prob, _ in listed(ctc.transcripts(ctc.beam_search(three), 9), 0)}
    assert torch.tensor([again[()], again[(1,)], again[(1, 1)]]).exp().tolist() == pytest.approx([1 / 8, 6 / 8, 1 / 8])


def test_equal_transcripts_stand_in_the_order_of_their_labels(route: str) -> None:
    """One frame of four equal symbols, then one that is surely blank: nothing, 1, 2, 3; a beam of 2 keeps the first."""
    log_probs = torch.tensor([[[0.25] * 4, [1.0, 0, 0, 0]]]).log()
    for beam in (4, 2):
        found = ctc.transcripts(ctc.beam_search(log_probs, beam=beam), beam)
        assert [labels for labels, *_ in listed(found, 0)] == [(), (1,), (2,), (3,)][:beam]


# ---- the compiled search and the definition


@needs_compiled
@pytest.mark.parametrize("beam", [1, 3, 20])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"symbols": 2},
        {"threshold": -1.5},
        {"symbols": 1, "threshold": -3.0},
        {"bonus": 1.0},
        {"bonus": 0.5, "bigram": bigram(6)},
        {"blank": 5},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_compiled_equals_the_definition(options: dict[str, Any], beam: int) -> None:
    """Labels and frames the same, numbers to the last digits; float32 inputs, ragged, whatever the padding holds."""
    log_probs, lengths = net(5, 17, 6, sharp=2, dtype=torch.float32), torch.tensor([17, 0, 5, 16, 1])
    log_probs[torch.arange(17) >= lengths[:, None]] = torch.nan
    got = ctc.beam_search(log_probs, lengths, beam=beam, **options)
    with dispatch.use("reference"):
        want = ctc.beam_search(log_probs, lengths, beam=beam, **options)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype and (torch.equal(a, b) if a.dtype == torch.int64 else torch.allclose(a, b, rtol=1e-12, atol=1e-12))


@needs_compiled
@pytest.mark.parametrize("sharp", [0.1, 1.0, 4.0])
def test_what_is_not_looked_at_could_not_come_in(sharp: float) -> None:
    """Many labels, few hypotheses: the compiled search passes over most candidates, the definition over none."""
    log_probs, pairs = net(4, 12, 40, sharp=sharp), bigram(40) - 3.0
    for options in ({}, {"bigram": pairs, "bonus": 2.0}):
        got = ctc.beam_search(log_probs, beam=9, **options)
        with dispatch.use("reference"):
            want = ctc.beam_search(log_probs, beam=9, **options)
        assert torch.equal(got.labels, want.labels) and torch.allclose(got.log_probs, want.log_probs, rtol=1e-12)


def test_a_narrow_search_permits_what_it_says(route: str) -> None:
    """One label a frame: what is found is made of the most probable ones; a threshold above all leaves nothing but no label."""
    log_probs = net(1, 8, 5)
    most = log_probs[0, :, 1:].argmax(1) + 1
    for labels, frames, *_ in listed(ctc.transcripts(ctc.beam_search(log_probs, symbols=1), 16), 0):
        assert labels == tuple(most[list(frames)].tolist())
    found = ctc.transcripts(ctc.beam_search(log_probs, threshold=0.1), 16)
    assert [labels for labels, *_ in listed(found, 0)] == [()]
    assert found.scores[0, 0] == log_probs[0, :, 0].sum()


@pytest.mark.parametrize("poison", [-INF, torch.nan])
def test_where_no_path_is_left_there_is_no_transcript(route: str, poison: float) -> None:
    """Nor later; the rows beside it do not notice."""
    log_probs = net(2, 4, 3)
    log_probs[0, 1] = poison
    state = ctc.beam_search(log_probs)
    alone = ctc.beam_search(log_probs[1:])
    for found in (ctc.transcripts(state, 2), ctc.transcripts(ctc.beam_search(net(2, 2, 3), state=state), 2)):
        assert found.scores[0].tolist() == [-INF, -INF] and found.lengths[0].tolist() == [0, 0]
    assert equal(
        ctc.transcripts(state, 3)[3:], [torch.stack([torch.full((3,), -INF).double(), x[0]]) for x in ctc.transcripts(alone, 3)[3:]]
    )
    settled, rest = ctc.settle(state)
    assert settled.lengths[0] == 0 and not rest.lengths[0].any()


def test_no_rows_and_no_frames(route: str) -> None:
    assert ctc.transcripts(ctc.beam_search(net(0, 4, 3))).labels.shape == (0, 1, 0)
    found = ctc.transcripts(ctc.beam_search(net(2, 0, 3)), 2)
    assert found.lengths.tolist() == [[0, 0], [0, 0]] and found.scores.tolist() == [[0, -INF], [0, -INF]]
    for state in (ctc.beam_search(net(0, 4, 3)), ctc.beam_search(net(2, 0, 3))):
        settled, rest = ctc.settle(state, keep=0)
        assert settled.labels.shape == (len(state.clock), 0) and equal(rest.log_probs, state.log_probs)


# ---- streams


def chunks(frames: list[int], seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """Random splits: from where each row goes on, and how many frames it gets; some none."""
    draw, done = random.Random(seed), [0] * len(frames)
    while done != frames:
        counts = [draw.choice([0, 1, 2, 7]) for _ in frames]
        counts = [min(count, frame - at) for count, frame, at in zip(counts, frames, done, strict=True)]
        yield list(done), counts
        done = [at + count for at, count in zip(done, counts, strict=True)]


def pieces(log_probs: Tensor, lengths: list[int], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    for starts, counts in chunks(lengths, seed):
        chunk = torch.full((len(lengths), max(counts), log_probs.shape[2]), torch.nan, dtype=log_probs.dtype)
        for b, (start, count) in enumerate(zip(starts, counts, strict=True)):
            chunk[b, :count] = log_probs[b, start : start + count]
        yield chunk, torch.tensor(counts)


OPTIONS: dict[str, dict[str, Any]] = {"plain": {}, "bigram": {"bigram": bigram(5), "bonus": 0.3, "symbols": 3}}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_any_split_gives_the_same_bits(route: str, seed: int, options: str) -> None:
    log_probs, lengths = net(4, 30, 5, sharp=3), [30, 0, 11, 29]
    want = ctc.beam_search(log_probs, torch.tensor(lengths), beam=6, **OPTIONS[options])
    state: Beam | None = None
    for chunk, counts in pieces(log_probs, lengths, seed):
        state = ctc.beam_search(chunk, counts, state, beam=6, **OPTIONS[options])
    assert state is not None and equal(state, want)


@pytest.mark.parametrize("seed", range(3))
def test_what_settles_is_the_beginning_of_the_transcript(route: str, seed: int) -> None:
    """Labels taken off as they come, then the rest: together the transcripts of the whole, with the same numbers."""
    log_probs, lengths = net(3, 40, 4, sharp=5), [40, 33, 0]
    whole = ctc.beam_search(log_probs, torch.tensor(lengths), beam=5, bigram=bigram(4))
    state: Beam | None = None
    taken: list[list[int]] = [[], [], []]
    for chunk, counts in pieces(log_probs, lengths, seed):
        settled, state = ctc.settle(ctc.beam_search(chunk, counts, state, beam=5, bigram=bigram(4)))
        for row, (labels, count) in enumerate(zip(settled.labels.tolist(), settled.lengths.tolist(), strict=True)):
            assert labels[count:] == [-1] * (len(labels) - count)
            taken[row] += labels[:count]
    assert state is not None
    assert equal((state.log_probs, state.best, state.extra, state.clock), (whole.log_probs, whole.best, whole.extra, whole.clock))
    for row in range(3):
        got, want = (list(listed(ctc.transcripts(each, 5), row)) for each in (state, whole))
        assert [(*taken[row], *labels) for labels, *_ in got] == [labels for labels, *_ in want]
        assert [begins for _, begins, *_ in got] == [begins[len(taken[row]) :] for _, begins, *_ in want]
        assert int(state.previous[row]) == (taken[row][-1] if taken[row] else -1)
    assert len(taken[0]) > 3


def test_a_long_stream_stays_small() -> None:
    """Five thousand frames, each as doubtful as any other: the oldest doubt would stay. What is left has the size that it may have."""
    symbols = torch.randint(4, (1, 5000), generator=torch.Generator().manual_seed(1))
    log_probs = (8.0 * F.one_hot(symbols, 4)).log_softmax(2)
    assert ctc.settle(ctc.beam_search(log_probs))[1].labels.shape[2] > 1000
    labels: list[int] = []
    state: Beam | None = None
    for chunk in log_probs.split(500, 1):
        settled, state = ctc.settle(ctc.beam_search(chunk, state=state), keep=10)
        labels += settled.labels[0].tolist()
        assert state.lengths[0, 0] <= 10 and state.labels.shape[2] <= 26
    assert state is not None
    labels += ctc.transcripts(state).labels[0, 0].tolist()
    assert labels == [symbol for symbol, _ in groupby(symbols[0].tolist()) if symbol]


def test_what_is_given_up_leaves_the_others_in_order() -> None:
    """Of the hypotheses of a wide beam those stay that begin as the best does, with all that they had."""
    state = ctc.beam_search(net(2, 8, 4), beam=60)
    before, (settled, rest) = ctc.transcripts(state, 60), ctc.settle(state, keep=1)
    after = ctc.transcripts(rest, 60)
    for row in range(2):
        begins = tuple(settled.labels[row, : settled.lengths[row]].tolist())
        assert len(begins) == max(0, int(before.lengths[row, 0]) - 1)
        want = [each for each in listed(before, row) if each[0][: len(begins)] == begins]
        got = [((*begins, *labels), *numbers) for labels, _, *numbers in listed(after, row)]
        assert 1 < len(got) < 60 and got == [(labels, *numbers) for labels, _, *numbers in want]


def test_a_state_is_a_snapshot(route: str) -> None:
    """Going on from it changes nothing in it: the same again gives the same."""
    state = ctc.beam_search(net(2, 9, 4))
    kept = Beam(*(each.clone() for each in state))
    first = ctc.beam_search(net(2, 5, 4, seed=2), state=state)
    ctc.settle(state)
    assert equal(state, kept) and equal(first, ctc.beam_search(net(2, 5, 4, seed=2), state=state))
    wider = ctc.beam_search(net(2, 5, 4, seed=2), state=state, beam=40)
    assert torch.equal(wider.lengths[:, :1], first.lengths[:, :1])


@needs_compiled
@pytest.mark.parametrize("threads", [2, 4])
def test_the_same_bits_with_any_number_of_threads(threads: int) -> None:
    log_probs, lengths = net(9, 60, 20), torch.tensor([60, 3, 50, 60, 0, 60, 21, 60, 60])
    want = ctc.beam_search(log_probs, lengths)
    torch.set_num_threads(threads)
    try:
        got = ctc.beam_search(log_probs, lengths)
    finally:
        torch.set_num_threads(1)
    assert equal(got, want)


# ---- greedy


def best_path(log_probs: Tensor, blank: int) -> tuple[list[int], list[int]]:
    """Labels and where they begin, by `groupby`."""
    runs = [(symbol, [t for t, _ in run]) for symbol, run in groupby(enumerate(log_probs.argmax(1).tolist()), lambda each: each[1])]
    return [symbol for symbol, _ in runs if symbol != blank], [frames[0] for symbol, frames in runs if symbol != blank]


@pytest.mark.parametrize("blank", [0, 3])
def test_greedy_is_the_best_path_collapsed(blank: int) -> None:
    log_probs, lengths = net(5, 20, 4), [20, 0, 1, 13, 19]
    found = ctc.greedy(log_probs, torch.tensor(lengths), blank)
    assert found.labels.shape == found.frames.shape == found.label_scores.shape == (5, 20)
    for row, length in enumerate(lengths):
        labels, frames = best_path(log_probs[row, :length], blank)
        rest = 20 - len(labels)
        assert found.lengths[row] == len(labels)
        assert found.labels[row].tolist() == [*labels, *[-1] * rest] and found.frames[row].tolist() == [*frames, *[-1] * rest]
        assert found.label_scores[row].tolist() == [*log_probs[row].amax(1)[frames].tolist(), *[0.0] * rest]
        assert float(found.scores[row]) == pytest.approx(float(log_probs[row, :length].amax(1).sum()))


@pytest.mark.parametrize("seed", range(3))
def test_greedy_in_chunks(seed: int) -> None:
    log_probs, lengths = net(4, 30, 3), [30, 0, 11, 29]
    whole, state = ctc.greedy(log_probs, torch.tensor(lengths)), None
    rows: list[list[tuple[int, int, float]]] = [[], [], [], []]
    for chunk, counts in pieces(log_probs, lengths, seed):
        found = ctc.greedy(chunk, counts, state=state)
        state = found.state
        for row, count in enumerate(found.lengths.tolist()):
            columns = (each[row, :count].tolist() for each in (found.labels, found.frames, found.label_scores))
            rows[row] += zip(*columns, strict=True)
    for row, count in enumerate(whole.lengths.tolist()):
        columns = (each[row, :count].tolist() for each in (whole.labels, whole.frames, whole.label_scores))
        assert rows[row] == list(zip(*columns, strict=True))
    assert state is not None and equal(state, whole.state)


def test_greedy_stays_on_its_device() -> None:
    found = ctc.greedy(net(2, 5, 3).to("meta"), torch.empty(2, dtype=torch.int64, device="meta"))
    assert {each.device.type for each in (*found[:5], *found.state)} == {"meta"}


def test_greedy_is_traced_whole() -> None:
    compiled = torch.compile(ctc.greedy, backend="aot_eager", fullgraph=True, dynamic=True)
    for frames in (5, 9):
        log_probs, lengths = net(3, frames, 4), torch.tensor([frames, 0, 3])
        got, want = compiled(log_probs, lengths), ctc.greedy(log_probs, lengths)
        assert equal(got[:5], want[:5]) and equal(got.state, want.state)
    assert ctc.greedy(net(2, 0, 3)).labels.shape == (2, 0) and ctc.greedy(net(0, 3, 3)).labels.shape == (0, 3)


# ---- what is refused

STATE = ctc.beam_search(net(2, 6, 4))
WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "flat": (lambda: ctc.beam_search(net(1, 2, 3)[0]), "ctc: expected floating log_probs [B, T, K] with K > 0, got torch.float64 [2, 3]"),
    "ids": (lambda: ctc.greedy(net(1, 2, 3).long()), "ctc: expected floating log_probs [B, T, K] with K > 0, got torch.int64 [1, 2, 3]"),
    "lengths": (lambda: ctc.greedy(net(2, 2, 3), torch.tensor([2])), "ctc: expected 2 length(s), got [1]"),
    "blank": (lambda: ctc.greedy(net(2, 2, 3), blank=3), "ctc: expected a blank in 0..2, got 3"),
    "beam": (lambda: ctc.beam_search(net(2, 2, 3), beam=0), "ctc: expected beam of 1 or more, got 0"),
    "symbols": (lambda: ctc.beam_search(net(2, 2, 3), symbols=0), "ctc: expected symbols of 1 or more, got 0"),
    "bigram": (lambda: ctc.beam_search(net(2, 2, 3), bigram=bigram(4)), "ctc: expected a bigram [3, 3], got [4, 4]"),
    "rows": (lambda: ctc.beam_search(net(3, 2, 4), state=STATE), "ctc: expected the state of 3 row(s), got one of 2"),
    "alphabet": (lambda: ctc.beam_search(net(2, 2, 2), state=STATE), "ctc: expected a state of 2 symbols, got one with higher labels"),
    "cut": (
        lambda: ctc.beam_search(net(2, 2, 4), state=STATE._replace(lengths=STATE.lengths + 1)),
        "ctc: expected a state that beam_search or settle gave back, got one with other sizes",
    ),
    "keep": (lambda: ctc.settle(STATE, -1), "ctc: expected a keep of 0 or more, got -1"),
    "top": (lambda: ctc.transcripts(STATE, 0), "ctc: expected a top of 1 or more, got 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_line(case: str) -> None:
    call, line = WRONG[case]
    with pytest.raises((ShapeError, UsageError)) as raised:
        call()
    assert str(raised.value) == line
