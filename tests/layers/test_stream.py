"""Sessions: what they hand out, what they remember, and that asking changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from threading import Event, current_thread, main_thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import convrnn as cr
from convrnn.core.errors import ShapeError, StateEnded
from convrnn.core.seq import Seq
from convrnn.kernels import native
from convrnn.layers.base import Spec
from convrnn.layers.stacked import StackedLayer
from convrnn.layers.stream import Cost, Stream, detach
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
@pytest.mark.parametrize("cuts", [(0, 1, 4, 4, 8), (0, 3, 5, 8), tuple(range(9))], ids=["some-none", "two-or-three", "one-by-one"])
def test_full_chunks_need_no_lengths(case: Case, cuts: tuple[int, ...]) -> None:
    """Rows in phase take other paths: slices for gathers, no masks."""
    rows = replace(case, lengths=(8, 8)).rows(2)
    whole = torch.stack(rows)
    stream = opened(case, rows)
    answers = [stream.push(whole[:, start:stop]) for start, stop in pairwise(cuts)]
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


def test_training_may_be_switched_on_and_off_between_chunks() -> None:
    """Of the whole net or of one layer inside: each push looks again, and leaves the modes as it found them."""
    net = cr.Serial(cr.Conv(4), cr.BatchNorm(), cr.Dropout(0.5), cr.GRU(3, layers=2, dropout=0.5)).build(3).eval()
    values = torch.randn(1, 8, 3)
    with torch.no_grad():
        want = net(Seq(values)).seq.values[0]
    stream, modes, answers = net.stream(), list[list[bool]](), list[Seq]()
    for chunk, switched in zip(
        values.split(2, 1), (net, net.get_submodule("layers.2"), net.get_submodule("layers.3.drops.0"), net), strict=True
    ):
        switched.train(not switched.training)
        modes.append([module.training for module in net.modules()])
        answers.append(stream.push(chunk))
        assert [module.training for module in net.modules()] == modes[-1]
    same(joined([*answers, stream.finish()]), [want])
    assert len(set(map(tuple, modes))) == 4


def test_rows_that_go_together_need_no_lengths_inside_and_are_counted_outside() -> None:
    """All rows have as many frames, or none; where not all windows of a chunk are complete, lengths say so, as where rows differ."""
    net = cr.Serial(cr.Conv(4), cr.Residual(cr.Conv(4, kernel=5)), cr.Pool(2)).build(3)
    stream, state, inside, outside = net.stream(2), None, list[Seq](), list[Seq]()
    for n in (1, 2, 1, 1, 1, 3, 3):
        chunk = torch.randn(2, n, 3)
        with torch.no_grad():
            seq, state = net(Seq(chunk), state, False)
        inside.append(seq)
        outside.append(stream.push(chunk))
    assert [seq.values.shape[1] for seq in inside] == [0, 0, 0, 1, 0, 2, 2]
    assert [None if seq.lengths is None else seq.lengths.tolist() for seq in inside] == [None] * 6 + [[1, 1]]
    assert [None if seq.lengths is None else seq.lengths.tolist() for seq in outside] == [[n, n] for n in (0, 0, 0, 1, 0, 2, 1)]
    assert cr.GRU(3).build(3).stream().push(torch.zeros(1, 2, 3)).lengths is None


def test_weights_may_change_between_pushes_and_chunks_their_size() -> None:
    """What a stream keeps of the weights is that of the present ones."""
    net = cr.LSTM(6, layers=2).build(3)
    stream, frames, state = net.stream(), torch.randn(1, 12, 3), None
    for place, chunk in enumerate(frames.split([1, 1, 3, 1, 1, 3, 2], 1)):
        want, state = net(Seq(chunk), state, False)
        state = detach(state)
        assert torch.equal(stream.push(chunk).values, want.values)
        if place % 2:
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.mul_(0.9)


STACKS = (
    cr.GRU(7, layers=2, reset="before"),
    cr.GRU(4, learn_state=True),
    cr.LSTM(19, layers=3, dropout=0.5),
    cr.LSTM(6, layers=2, projection=3, peephole=True),
    cr.LSTM(3, layers=2, projection=9, coupled=True),
    cr.RNN(5, layers=2, nonlinearity="relu"),
    cr.IndRNN(5, layers=2),
)


@pytest.mark.skipif(not native.available(), reason="without compiled kernels layers go one by one")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spec", STACKS, ids=repr)
def test_a_stack_goes_through_all_layers_in_one_call(spec: Spec, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit what layers give one by one, and only the first push, which has no state yet, goes that way."""
    net = spec.build(3).to(dtype).eval()
    assert isinstance(net, StackedLayer)
    stream, state, calls = net.stream(batch=3), None, list[int]()
    whole = StackedLayer._run
    monkeypatch.setattr(StackedLayer, "_run", lambda *given: calls.append(1) or whole(*given))
    for chunk in torch.randn(3, 9, 3, dtype=dtype).split([1, 1, 4, 0, 2, 1], 1):
        (want, state), _ = whole(net, Seq(chunk), state, False)
        state = detach(state)
        assert torch.equal(stream.push(chunk).values, want.values)
        assert all(map(torch.equal, leaves(stream.state), leaves(state)))
    assert len(calls) == 1


def test_a_weight_put_in_place_of_another_is_noticed() -> None:
    net = cr.GRU(6, layers=2).build(3)
    stream, frame = net.stream(), torch.randn(1, 1, 3)
    stream.push(frame)
    where = stream.snapshot()
    before = stream.push(frame).values
    stream.restore(where)
    upper = net.get_submodule("forward_layers.1")
    upper.w_x = nn.Parameter(upper.get_parameter("w_x").detach() * 2)
    assert not torch.equal(stream.push(frame).values, before)


def test_streams_of_one_net_run_on_threads_of_their_own() -> None:
    net = cr.GRU(24, layers=2).build(3).eval()
    rows = torch.randn(4, 200, 3)

    def answers(row: Tensor) -> Tensor:
        stream = net.stream()
        return torch.cat([stream.push(frame[None, None]).values for frame in row], 1)

    with ThreadPoolExecutor(4) as threads:
        together = torch.cat(list(threads.map(answers, rows)))
    with torch.no_grad():
        assert torch.equal(together, net(Seq(rows)).seq.values)


@pytest.mark.parametrize("part", [False, True], ids=["of the same net", "of a part of it"])
def test_a_push_that_ends_takes_no_other_back_into_training(part: bool) -> None:
    """Modes belong to modules: what one thread switches off, another may be in the midst of."""
    net = cr.Serial(cr.Dropout(0.5), cr.Linear(2)).build(3)
    dropout = dict(net.walk())["0"]
    short, long, values = (dropout if part else net).stream(), net.stream(), torch.randn(1, 6, 3)
    entered, left, answers = Event(), Event(), list[Future[Seq]]()

    def meet(*given: object) -> None:
        if current_thread() is main_thread():
            answers.append(other.submit(long.push, values))
            entered.wait(10)
        else:
            entered.set()
            left.wait(10)

    dropout.register_forward_pre_hook(meet)
    with ThreadPoolExecutor(1) as other:
        short.push(values)
        left.set()
    assert all(module.training for module in net.modules())
    with torch.no_grad():
        assert torch.equal(answers[0].result().values, net.get_submodule("layers.1")(Seq(values)).seq.values)


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
    assert str(raised.value) == "stream: row 1 has ended and was given 2 more frame(s); begin another in its place with join(1)"
    assert split_rows(stream.push(torch.zeros(2, 2, 3), torch.tensor([2, 0])))[0].shape == (2, 3)


@pytest.mark.parametrize("spec", [cr.Conv(4), cr.Conv(4, padding="causal"), cr.Pool(2), cr.GlobalPool()])
def test_a_layer_refuses_to_continue_the_state_of_an_ended_row(spec: cr.Spec) -> None:
    """Outside a session too, for every layer that has a clock."""
    net = spec.build(3)
    _, state = net(Seq(torch.zeros(2, 3, 3), torch.tensor([3, 1])))
    with pytest.raises(StateEnded, match=r"row 0 has ended and was given 1 more frame\(s\)"):
        net(Seq(torch.zeros(2, 1, 3), torch.tensor([1, 0])), state, False)


# ---- rows that join and leave


@by_case
def test_who_takes_a_place_begins_anew_and_the_row_beside_notices_nothing(case: Case) -> None:
    """Bit for bit: states are exchanged row by row, nothing is computed again."""
    gone, beside, comes = replace(case, lengths=(8, 8, 8)).rows(10)
    stream, quiet = opened(case, [gone, beside]), opened(case, [gone, beside])
    for each in (stream, quiet):
        each.push(torch.stack([gone[:4], beside[:4]]))
    stream.join(0)
    answers = joined([stream.push(torch.stack([comes[:4], beside[4:]])), stream.finish()])
    want = joined([quiet.push(torch.stack([gone[4:], beside[4:]])), quiet.finish()])
    assert torch.equal(answers[1], want[1])
    compare("who joined", answers[0], offline(case, [comes[:4]])[0])


@by_case
def test_a_row_that_leaves_goes_on_in_another_stream(case: Case) -> None:
    moves, stays = rows = replace(case, lengths=(9, 9)).rows(11)
    stream, other = opened(case, rows), opened(case, [*rows, moves])
    begun = split_rows(stream.push(torch.stack(rows)[:, :5]))
    where = stream.leave(0)
    assert stream.ended.tolist() == [True, False]
    other.join(2, where)
    there = joined([other.push(torch.stack([stays, stays, moves])[:, 5:], torch.tensor([0, 0, 4])), other.finish()])
    here = joined([stream.push(torch.stack(rows)[:, 5:], torch.tensor([0, 4])), stream.finish()])
    same([torch.cat([begun[0], there[2]]), torch.cat([begun[1], here[1]])], offline(case, rows))
    assert not len(here[0]), "what was held back left with the row"


def test_a_place_is_free_again_after_the_end() -> None:
    stream = cr.Serial(cr.Conv(4), cr.GRU(3)).build(3).stream(2)
    stream.push(torch.ones(2, 4, 3), last=torch.tensor([True, False]))
    stream.join(0)
    assert stream.ended.tolist() == [False, False]
    alone = stream.layer.stream()
    want = torch.cat([alone.push(torch.ones(1, 2, 3)).values[0, :1], alone.finish().values[0]])
    got = joined([stream.push(torch.ones(2, 2, 3), torch.tensor([2, 0])), stream.finish()])[0]
    assert torch.allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s.join(2), "stream: expected a row in 0..1, got 2; open it with stream(batch=n)"),
        (lambda s: s.leave(-1), "stream: expected a row in 0..1, got -1; open it with stream(batch=n)"),
        (lambda s: s.join(0, s.snapshot()), "stream: expected where one row stood, got 2 rows; take it with leave(row)"),
        (
            lambda s: s.join(0, cr.LSTM(3).build(2).stream().leave(0)),
            "stream: this row left a stream of another layer; join it to a stream of that one",
        ),
    ],
)
def test_a_place_that_is_not_there(act: Callable[[Stream], object], message: str) -> None:
    with pytest.raises(ShapeError) as raised:
        act(cr.GRU(3).build(2).stream(2))
    assert str(raised.value) == message


# ---- what is said beforehand


@by_case
def test_what_is_said_beforehand_is_what_happens(case: Case) -> None:
    """The first answer and the longest wait between two, measured one frame at a time."""
    stream = opened(case, [torch.empty(0)])
    assert stream.lookahead == stream.layer.lookahead
    if stream.first_answer is None or stream.chunk_wait is None:
        assert stream.lookahead is None and stream.chunk_wait is None
        return
    (row,) = replace(case, lengths=(stream.first_answer + 3 * stream.chunk_wait + 6,)).rows(12)
    brought = [t for t, frame in enumerate(row.split(1), 1) if len(split_rows(stream.push(frame[None]))[0])]
    assert brought[0] == stream.first_answer
    assert max(b - a for a, b in pairwise(brought)) == stream.chunk_wait


@pytest.mark.parametrize(
    ("spec", "cost"),
    [
        # 5 x 3 x 4 products for a frame out, one for every 2 in; 4 frames of 3 floats, and the clock.
        (cr.Conv(4, kernel=5, stride=2), Cost(4 * 3 * 4 + 8, 5 * 3 * 4 + 4, 30)),
        # Three gates, each over 3 inputs and 5 units, a bias each and the one inside the reset.
        (cr.GRU(5), Cost(5 * 4, 3 * 5 * (3 + 5) + 15 + 5, 3 * 5 * (3 + 5))),
        (cr.LSTM(5), Cost(2 * 5 * 4, 4 * 5 * (3 + 5) + 20, 4 * 5 * (3 + 5))),
        (cr.Serial(cr.Pool(2), cr.LSTM(5)), Cost(3 * 4 + 8 + 2 * 5 * 4, 4 * 5 * (3 + 5) + 20, 2 * 5 * (3 + 5))),
        (cr.GlobalPool("mean"), Cost(8 + 3 * 4, 0, 0)),
    ],
)
def test_cost_by_arithmetic(spec: cr.Spec, cost: Cost) -> None:
    stream = spec.build(3).stream(7)
    assert stream.cost() == cost
    assert stream.state is None and stream.layer.training, "asking changes nothing"


def test_long_chunks_share_what_windows_have_in_common() -> None:
    """A pyramid of `valid` windows recomputes nothing, so the cost is the same; one frame at a time pays whole windows of stride 4."""
    stream = cr.Conv(1, kernel=4, stride=4, padding="valid").build(1).stream()
    assert stream.cost().multiply_adds == 1
    assert stream.cost(chunk=1).multiply_adds == 4


def test_a_stream_describes_itself() -> None:
    stream = cr.Serial(cr.Conv(4, kernel=5), cr.Pool(3), cr.Linear(1)).build(2).stream(2)
    assert stream.describe() == (
        "serial, 2 rows. The first frame comes out after 5 in, then 1 for every 3 in, each once 4 later frames came; "
        "chunks of 3 frames or more always bring one. 49 parameters; 42 multiply-adds for a frame in; 80 bytes of state a row."
    )
    assert repr(stream) == "<Stream of serial: 2 rows, 0 ended; waits for 4 later frames>"
    stream.push(torch.zeros(2, 3, 2), last=torch.tensor([True, False]))
    assert repr(stream) == "<Stream of serial: 2 rows, 1 ended; waits for 4 later frames>"


def test_a_stream_that_answers_at_the_end_says_so() -> None:
    stream = cr.Serial(cr.GRU(2), cr.GlobalPool("last")).build(1).stream()
    assert "1 row. It answers when a row ends; peek() gives the answer so far." in stream.describe()
    assert repr(stream) == "<Stream of serial: 1 row, 0 ended; waits for the end of a row>"


# ---- truncated back-propagation


@pytest.mark.parametrize(
    "spec", [cr.GRU(3, layers=2), cr.Serial(cr.Conv(4, kernel=5), cr.LSTM(3), cr.Residual(cr.Conv(3, padding="causal")))]
)
def test_a_detached_state_is_the_same_state_without_its_past(spec: cr.Spec) -> None:
    net = spec.build(2).double()
    first, second = (torch.randn(3, 6, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    _, state = net(Seq(first), None, False)
    whole, cut = net(Seq(second), state, False).seq.values, net(Seq(second), detach(state), False).seq.values
    assert torch.equal(whole, cut)
    assert torch.autograd.grad(whole.sum(), first, retain_graph=True)[0].abs().sum() > 0
    assert torch.autograd.grad(cut.sum(), first, retain_graph=True, allow_unused=True) == (None,)
    constants = [leaf.clone() for leaf in leaves(detach(state))]
    assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(constants, leaves(state), strict=True))
    assert torch.autograd.grad(cut.sum(), second)[0].abs().sum() > 0


def test_detach_of_no_state_is_no_state() -> None:
    assert detach(None) is None and detach(()) == ()
