"""Sessions: what they hand out, what they remember, and that asking changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import convrnn as cr
from convrnn.core.errors import ShapeError, StateEnded
from convrnn.core.seq import Seq
from convrnn.layers.stream import Stream
from convrnn.testing.cases import CASES
from convrnn.testing.chunks import batch_of, compare, compare_states, leaves, pad_rows, split_rows
from convrnn.testing.laws import Case

STREAMING = [case for case in CASES if case.build().streams and "flatten" not in case.name]
by_case = pytest.mark.parametrize("case", STREAMING, ids=[case.name for case in STREAMING])


def offline(case: Case, rows: list[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        return split_rows(case.build()(batch_of(rows)).seq)


def opened(case: Case, rows: list[Tensor]) -> Stream:
    return case.build().stream(len(rows))


def piece(rows: list[Tensor], start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Frames `start..stop` of each row, padded with NaN, and how many there are."""
    parts = [row[start:stop] for row in rows]
    return pad_rows(parts, stop - start), torch.tensor([len(part) for part in parts])


def joined(answers: list[Seq]) -> list[Tensor]:
    return [torch.cat(parts) for parts in zip(*(split_rows(seq) for seq in answers), strict=True)]


def same(got: list[Tensor], want: list[Tensor]) -> None:
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        compare(f"row {i}", a, b)


@by_case
@pytest.mark.parametrize("chunk", [1, 4])
def test_a_session_gives_the_offline_answer(case: Case, chunk: int) -> None:
    rows = case.rows(3)
    stream = opened(case, rows)
    answers = [stream.push(*piece(rows, start, start + chunk)) for start in range(0, max(case.lengths), chunk)]
    same(joined([*answers, stream.finish()]), offline(case, rows))


@by_case
def test_full_chunks_need_no_lengths(case: Case) -> None:
    """Rows in phase take other paths: slices for gathers, no masks."""
    rows = replace(case, lengths=(8, 8)).rows(2)
    whole = torch.stack(rows)
    stream = opened(case, rows)
    answers = [stream.push(whole[:, start:stop]) for start, stop in ((0, 1), (1, 4), (4, 4), (4, 8))]
    same(joined([*answers, stream.finish()]), offline(case, rows))


@by_case
def test_peek_is_what_finish_would_give_and_changes_nothing(case: Case) -> None:
    rows = case.rows(4)
    stream = opened(case, rows)
    answers: list[Seq] = []
    for start in range(0, max(case.lengths), 3):
        answers.append(stream.push(*piece(rows, start, start + 3)))
        before = [leaf.clone() for leaf in leaves(stream.state)]
        shown = split_rows(stream.peek())
        same(split_rows(stream.peek()), shown)
        for a, b in zip(leaves(stream.state), before, strict=True):
            assert torch.equal(a, b)
        so_far = [row[: start + 3] for row in rows]
        same([torch.cat([*parts, end]) for *parts, end in zip(*map(split_rows, answers), shown, strict=True)], offline(case, so_far))
    assert not stream.ended.any()
    same(split_rows(stream.peek()), split_rows(stream.finish()))


@by_case
def test_a_snapshot_brings_back_the_same_answers(case: Case) -> None:
    rows = case.rows(5)
    half = max(case.lengths) // 2
    stream = opened(case, rows)
    stream.push(*piece(rows, 0, half))
    mark = stream.snapshot()
    first = [stream.push(*piece(rows, half, max(case.lengths))), stream.finish()]
    assert stream.ended.all()
    stream.restore(mark)
    assert not stream.ended.any()
    second = [stream.push(*piece(rows, half, max(case.lengths))), stream.finish()]
    for a, b in zip(first, second, strict=True):
        same(split_rows(a), split_rows(b))


@by_case
def test_rows_leave_one_by_one(case: Case) -> None:
    """Each row ends with its own last frame; what it held back comes with it, and nothing after."""
    rows = case.rows(6)
    stream = opened(case, rows)
    answers: list[Seq] = []
    for start in range(0, max(case.lengths) + 1, 2):
        values, counts = piece(rows, start, start + 2)
        last = torch.tensor([start <= len(row) < start + 2 for row in rows])
        counts = torch.where(stream.ended, 0, counts)
        answers.append(stream.push(values, counts, last))
        assert stream.ended.tolist() == [len(row) < start + 2 for row in rows]
    same(joined(answers), offline(case, rows))
    assert all(not len(row) for row in split_rows(stream.finish()))


@by_case
def test_rows_that_finished_stay_silent(case: Case) -> None:
    rows = case.rows(7)
    stream = opened(case, rows)
    stream.push(batch_of(rows).values, batch_of(rows).lengths)
    stream.finish()
    for again in (stream.finish(), stream.peek()):
        assert all(not len(row) for row in split_rows(again))


@by_case
def test_the_caller_may_reuse_its_buffer(case: Case) -> None:
    """A ring buffer is overwritten while the state lives on: no state is a view of what was pushed."""
    rows = case.rows(8)
    stream = opened(case, rows)
    answers: list[list[Tensor]] = []
    for start in range(0, max(case.lengths), 4):
        values, counts = piece(rows, start, start + 4)
        # A frame-wise layer may answer with the very tensor it was given.
        answers.append([row.clone() for row in split_rows(stream.push(values, counts))])
        values.fill_(3 if not values.is_floating_point() else float("nan"))
    answers.append(split_rows(stream.finish()))
    same([torch.cat(parts) for parts in zip(*answers, strict=True)], offline(case, rows))


@by_case
def test_the_state_of_a_new_stream_joins_old_ones(case: Case) -> None:
    """State shapes depend on the spec and the number of rows alone: two sessions become one."""
    rows = case.rows(9)
    net = case.build()
    with torch.no_grad():
        begun = [net(Seq(row[None, : len(row) // 2]), None, False) for row in rows]
        rest = batch_of([row[len(row) // 2 :] for row in rows])
        end, _ = net(rest, _stacked([state for _, state in begun]), True)
    got = [torch.cat([split_rows(start)[0], stop]) for (start, _), stop in zip(begun, split_rows(end), strict=True)]
    same(got, offline(case, rows))


def _stacked(states: list[Any]) -> Any:
    """Nested states of one row each as one of all."""
    first = states[0]
    return torch.cat(states) if isinstance(first, Tensor) else tuple(_stacked(list(parts)) for parts in zip(*states, strict=True))


@by_case
def test_the_state_after_an_empty_chunk_is_the_initial_state(case: Case) -> None:
    net = case.build()
    rows = [row[:0] for row in case.rows(0)]
    with torch.no_grad():
        _, state = net(batch_of(rows), None, False)
    compare_states("state", state, net.initial_state(len(rows), torch.zeros((), dtype=case.dtype)))


def test_training_mode_is_put_aside_and_taken_up_again() -> None:
    """In training a stream would drop at random and batch norm would learn from each chunk."""
    net = cr.Serial(cr.Conv(4), cr.BatchNorm(), cr.Dropout(0.5), cr.Residual(cr.BatchNorm())).build(3)
    frozen = net.get_submodule("layers.1")
    frozen.eval()
    values = torch.randn(1, 6, 3)
    before = [buffer.clone() for buffer in net.buffers()]
    stream = net.stream()
    got = joined([stream.push(values[:, :4]), stream.push(values[:, 4:]), stream.finish()])
    assert all(torch.equal(a, b) for a, b in zip(net.buffers(), before, strict=True))
    assert [module.training for module in net.modules()] == [module is not frozen for module in net.modules()]
    with torch.no_grad():
        compare("row", got[0], net.eval()(Seq(values)).seq.values[0])


def test_a_failed_push_leaves_training_mode_and_state_as_they_were() -> None:
    net = cr.Serial(cr.Conv(4), cr.GRU(3)).build(3)
    stream = net.stream()
    stream.push(torch.zeros(1, 4, 3))
    state = stream.state
    with pytest.raises(ShapeError):
        stream.push(torch.zeros(1, 4, 5))
    assert stream.state is state
    assert all(module.training for module in net.modules())


def test_answers_carry_no_gradient() -> None:
    stream = cr.GRU(3).build(2).stream()
    assert stream.push(torch.zeros(1, 2, 2)).values.is_inference()


def test_a_row_that_ended_refuses_frames_and_the_others_go_on() -> None:
    net = cr.Serial(cr.Conv(4), cr.GRU(3)).build(3)
    stream = net.stream(2)
    stream.push(torch.zeros(2, 4, 3), last=torch.tensor([False, True]))
    with pytest.raises(StateEnded) as raised:
        stream.push(torch.zeros(2, 2, 3))
    assert str(raised.value) == "stream: row 1 has ended and was given 2 more frame(s); open a new stream for it"
    assert split_rows(stream.push(torch.zeros(2, 2, 3), torch.tensor([2, 0])))[0].shape == (2, 3)


@pytest.mark.parametrize("spec", [cr.Conv(4), cr.Conv(4, padding="causal"), cr.Pool(2), cr.GlobalPool()])
def test_a_layer_refuses_to_continue_the_state_of_an_ended_row(spec: cr.Spec) -> None:
    """Outside a session too, for every layer that has a clock."""
    net = spec.build(3)
    _, state = net(Seq(torch.zeros(2, 3, 3), torch.tensor([3, 1])))
    with pytest.raises(StateEnded, match=r"row 0 has ended and was given 1 more frame\(s\)"):
        net(Seq(torch.zeros(2, 1, 3), torch.tensor([1, 0])), state, False)
