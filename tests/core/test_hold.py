"""The shifting of rows against a list a row: what is held, what comes out, in phase and out of it, before the end and after."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from convrnn.core import hold
from convrnn.core.errors import StateEnded
from convrnn.core.seq import frame_mask


def number(row: int, frame: int) -> float:
    """Every frame is its own number, so that a shift by one shows."""
    return 100.0 * (row + 1) + frame


def batch(rows: list[list[float]], width: int, poison: float = 0.0) -> Tensor:
    return torch.tensor([[*row, *[poison] * (width - len(row))] for row in rows], dtype=torch.float64).reshape(len(rows), width, 1)


class Plain:
    """What `append` and `keep` mean for one row: a list, and how many frames are still to be skipped."""

    def __init__(self, held: int) -> None:
        self.frames = [0.0] * max(held, 0)
        self.skip = max(-held, 0)

    def append(self, new: list[float]) -> None:
        skipped = min(self.skip, len(new))
        self.skip -= skipped
        self.frames += new[skipped:]

    def drop(self, count: int) -> None:
        """Frames that no later window reads; more than there are: so many of the next are skipped."""
        self.skip += max(count - len(self.frames), 0)
        self.frames = self.frames[count:]

    @property
    def held(self) -> int:
        return len(self.frames) - self.skip


@pytest.mark.parametrize("seed", range(60))
def test_append_and_keep_are_a_list_a_row(seed: int) -> None:
    """Random rows, chunks, strides: buffers, clocks and frames are those of the lists after every chunk."""
    rng = random.Random(seed)
    rows, size, stride = rng.randint(1, 4), rng.randint(0, 5), rng.randint(1, 7)
    held = rng.randint(0, size)
    state = hold.empty(rows, size, (1,), torch.zeros((), dtype=torch.float64), held)
    plain = [Plain(held) for _ in range(rows)]
    clocks = [0] * rows
    for _ in range(rng.randint(1, 6)):
        width = rng.randint(0, 4)
        counts = [rng.randint(0, width) for _ in range(rows)]
        chunk = [[number(i, clocks[i] + t) for t in range(n)] for i, n in enumerate(counts)]
        clocks = [c + n for c, n in zip(clocks, counts, strict=True)]
        bound = size + width + rng.randint(0, 2)
        frames, total = hold.append(state, batch(chunk, width), torch.tensor(counts), bound)
        for row, new in zip(plain, chunk, strict=True):
            row.append(new)
        assert total.tolist() == [row.held for row in plain]
        assert torch.equal(frames, batch([row.frames for row in plain], bound))
        # As a window of size + 1 frames and this stride would: what its finished windows have passed is dropped.
        done = [max(0, (row.held - size - 1) // stride + 1) for row in plain]
        for row, n in zip(plain, done, strict=True):
            row.drop(n * stride)
        state = hold.keep(frames, total, total - torch.tensor(done) * stride, size)
        assert state[0].shape == (rows, size, 1)
        assert state[1].tolist() == [row.held for row in plain]
        want = [[0.0] * (size - len(row.frames)) + row.frames for row in plain]
        assert torch.equal(state[0], batch(want, size))


def test_held_frames_may_be_negative() -> None:
    """A stride longer than the window: the next frames are skipped, and count for nothing."""
    state = (torch.zeros(1, 1, 1), torch.tensor([-3]))
    frames, total = hold.append(state, torch.tensor([[[1.0], [2], [3], [4]]]), torch.tensor([4]), 5)
    assert total.tolist() == [1]
    assert frames.flatten().tolist() == [4, 0, 0, 0, 0]


@pytest.mark.parametrize("lengths", [None, [2, 0, 1]])
@pytest.mark.parametrize("ends", [False, True], ids=["goes-on", "a-row-ends"])
def test_in_phase_is_the_same_by_slices(lengths: list[int] | None, ends: bool) -> None:
    rows, size, new = 3, 2, 2
    state = (torch.arange(6.0).reshape(3, 2, 1) + 1, torch.full((3,), size))
    counts = torch.tensor([new] * rows if lengths is None else lengths)
    values = torch.where(frame_mask(new, counts)[..., None], torch.arange(6.0).reshape(3, 2, 1) + 10, 0.0)
    stopped: Tensor | bool = torch.tensor([False, True, False]) if ends else False
    frames, total = hold.append(state, values, counts, size + new)
    want = hold.keep(frames, total, hold.after(total - counts, stopped), size)
    sliced, count = hold.append(state, values, counts, size + new, in_phase=True)
    got = hold.keep_in_phase(sliced, new, None if lengths is None else counts, state[1], size, stopped)
    valid = frame_mask(size + new, total)[..., None]
    assert torch.equal(torch.where(valid, sliced, 0.0), frames)
    assert torch.equal(count, total)
    assert torch.equal(got[1], want[1])
    assert torch.equal(got[0], want[0])


@pytest.mark.parametrize("held", range(-3, 4))
@pytest.mark.parametrize("new", [0, 1, 2, 5])
def test_rows_that_hold_alike_are_shifted_by_slices(held: int, new: int) -> None:
    """Whatever is then kept: as much as held, as fits, nothing, or less than nothing."""
    rows, size = 2, 3
    values = torch.arange(rows * new, dtype=torch.float64).reshape(rows, new, 1) + 10
    buffer = torch.arange(6.0, dtype=torch.float64).reshape(rows, size, 1) + 1
    state = torch.where(torch.arange(size)[:, None] >= size - held, buffer, 0), torch.full((rows,), held)
    with torch.no_grad():
        assert hold.common(state[1]) == held
    frames, total = hold.append(state, values, torch.full((rows,), new), size + new)
    sliced = hold.append_common(state, held, values, size + new)
    assert torch.equal(sliced, frames)
    for after in range(-2, min(size, max(held + new, 0)) + 1):
        want = hold.keep(frames, total, torch.full((rows,), after), size)
        got = hold.keep_common(sliced, held + new, after, state)
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])
        assert got[0].untyped_storage().data_ptr() not in (values.untyped_storage().data_ptr(), sliced.untyped_storage().data_ptr())


@pytest.mark.parametrize("clocks", [[], [1, 2], [2, 1, 1], [hold.ENDED, hold.ENDED], [1, hold.ENDED]])
def test_rows_that_do_not_hold_alike_or_have_ended(clocks: list[int]) -> None:
    with torch.no_grad():
        assert hold.common(torch.tensor(clocks, dtype=torch.int64)) is None


def test_where_a_gradient_is_wanted_nobody_looks() -> None:
    """An answer of no frames would cut it off."""
    assert hold.common(torch.tensor([1, 1])) is None
    assert hold.common(torch.empty(2, device="meta")) is None


def test_what_is_held_is_no_view_of_the_chunk() -> None:
    """The caller may overwrite its buffer."""
    values = torch.ones(1, 3, 1)
    state = hold.empty(1, 2, (1,), values, 2)
    frames, _ = hold.append(state, values, torch.tensor([3]), 5, in_phase=True)
    kept = hold.keep_in_phase(frames, 3, None, state[1], 2, False)
    values.fill_(float("nan"))
    assert kept[0].flatten().tolist() == [1, 1]


def test_an_ended_row_holds_nothing_and_stays_ended() -> None:
    state = hold.ended((torch.ones(2, 3, 1), torch.tensor([3, 3])))
    assert not state[0].any()
    assert state[1].tolist() == [hold.ENDED] * 2
    frames, total = hold.append(state, torch.zeros(2, 4, 1), torch.tensor([0, 0]), 7)
    assert not frames.any()
    assert bool((total < hold.ENDED // 2).all())


def test_a_row_that_ended_refuses_frames() -> None:
    state = (torch.zeros(3, 1, 1), torch.tensor([1, hold.ENDED, 0]))
    with pytest.raises(StateEnded) as raised:
        hold.append(state, torch.zeros(3, 2, 1), torch.tensor([1, 2, 0]), 3)
    assert (
        str(raised.value) == "state: row 1 has ended and was given 2 more frame(s); start a new state, or pass last=False while it goes on"
    )


def test_take_takes_rows_of_any_rank() -> None:
    values = torch.arange(24.0).reshape(2, 3, 2, 2)
    got = hold.take(values, torch.tensor([[2, 0], [1, 1]]))
    assert torch.equal(got, torch.stack([values[0, [2, 0]], values[1, [1, 1]]]))


def test_after_marks_only_the_rows_that_end() -> None:
    held = torch.tensor([1, 2])
    assert hold.after(held, False) is held
    assert hold.after(held, torch.tensor([True, False])).tolist() == [hold.ENDED, 2]
    assert hold.after(held, True).tolist() == [hold.ENDED] * 2
