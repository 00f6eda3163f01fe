"""The one primitive that shifts rows: frames held back by a layer, each row with its own clock. Knows nothing of layers.

A layer that waits for later frames keeps `(buffer [B, R, ...], held int64 [B])`, R fixed by its spec. The held frames lie at the
right end of the buffer, zeros before them. `held` may be negative: that many frames still to come are skipped (a stride longer
than the window). A row that has ended holds `ENDED` and never emits again.

Rows in phase are shifted by slices, others by one gather. Rows are in phase because a layer holds always as much (`in_phase`), or because
a look at their clocks says so (`common`): for one frame of a live stream the arithmetic on clocks would take longer than the frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from convrnn.core.errors import StateEnded
from convrnn.core.language import tr
from convrnn.core.seq import at_hand, expand_mask, has_frames

ENDED = -(1 << 40)
"""The clock of a row that has ended: so far in the past that no frame can make it emit."""

Hold = tuple[Tensor, Tensor]
"""`(buffer [B, R, ...], held int64 [B])`."""


def empty(batch: int, size: int, frame: tuple[int, ...], like: Tensor, held: int) -> Hold:
    """A buffer of zeros in which `held` frames count as held: the padding before the first frame."""
    return like.new_zeros(batch, size, *frame), torch.full((batch,), held, dtype=torch.int64, device=like.device)


def ended(hold: Hold) -> Hold:
    """The state after the last frame of every row."""
    return torch.zeros_like(hold[0]), torch.full_like(hold[1], ENDED)


def append(hold: Hold, values: Tensor, lengths: Tensor, width: int, in_phase: bool = False) -> tuple[Tensor, Tensor]:
    """Held frames, then the new ones, left-justified.

    Args:
        hold: what was held.
        values: `[B, T, ...]`, zero beyond `lengths`.
        lengths: int64 `[B]`, new frames of each row.
        width: frames to return; beyond a row's total they are zero.
        in_phase: a static fact, every living row holds exactly R frames.

    Returns:
        frames `[B, width, ...]` and the number of them that are real, int64 `[B]` (negative while frames are being skipped).

    Raises:
        StateEnded: frames for a row that has ended (outside traced code, on the CPU).
    """
    buffer, held = hold
    size = buffer.shape[1]
    refuse_ended(held, lengths)
    if in_phase:
        joined = torch.cat([buffer, values], 1) if size else values
        return _to_width(joined, width), lengths + size
    total = held + lengths
    joined = torch.cat([buffer, values], 1) if size else _not_empty(values)
    place = torch.arange(width, device=held.device)
    frames = take(joined, (place + (size - held)[:, None]).clamp(0, joined.shape[1] - 1))
    return torch.where(expand_mask(place < total[:, None], frames), frames, frames.new_zeros(())), total


def common(held: Tensor) -> int | None:
    """What each of the rows holds, where all hold the same and none has ended; None: they do not, or the clocks are not `at_hand`.

    Not where a gradient is wanted: a chunk that is answered with no frame at all would cut it off.
    """
    if not at_hand(held):
        return None
    clocks = held.tolist()
    return clocks[0] if clocks and clocks[0] > ENDED // 2 and clocks.count(clocks[0]) == len(clocks) else None


def append_common(hold: Hold, held: int, values: Tensor, width: int) -> Tensor:
    """`append` for rows that all hold `held` frames and bring as many."""
    buffer = hold[0]
    if held > 0:
        values = torch.cat([buffer if held == buffer.shape[1] else buffer[:, -held:], values], 1)
    elif held < 0:
        values = values[:, -held:]
    return _to_width(values, width)


def keep_common(frames: Tensor, total: int, held: int, hold: Hold) -> Hold:
    """`keep` for rows that all go on holding `held` frames; `hold` as it was before."""
    size, real = hold[0].shape[1], max(held, 0)
    kept = frames[:, total - real : total]
    return kept.clone() if real == size else F.pad(kept, (0, 0) * (kept.dim() - 2) + (size - real, 0)), torch.full_like(hold[1], held)


def keep(frames: Tensor, total: Tensor, held: Tensor, size: int) -> Hold:
    """The last `held` of `total` left-justified frames; nothing of a row that has ended."""
    if size == 0:
        return frames[:, :0], held
    place = torch.arange(size, device=total.device)
    frames = _not_empty(frames)
    kept = take(frames, (total[:, None] - size + place).clamp(0, frames.shape[1] - 1))
    return torch.where(expand_mask(place >= size - held[:, None], kept), kept, kept.new_zeros(())), held


def keep_in_phase(frames: Tensor, new: int, lengths: Tensor | None, before: Tensor, size: int, ends: Tensor | bool) -> Hold:
    """`keep` where every living row goes on holding `size` frames of its `size + lengths`; a slice when all rows bring all `new` ones."""
    if lengths is None and ends is False:
        return frames[:, new : new + size].clone(), before
    counts = torch.full_like(before, new) if lengths is None else lengths
    return keep(frames, counts + size, after(before, ends), size)


def after(held: Tensor, ends: Tensor | bool) -> Tensor:
    """The clock once rows have ended."""
    return held if ends is False else torch.where(torch.as_tensor(ends, device=held.device), ENDED, held)


def take(values: Tensor, index_BW: Tensor) -> Tensor:
    """`out[b, w] = values[b, index[b, w]]` for values of any rank."""
    index = expand_mask(index_BW, values).expand(index_BW.shape + values.shape[2:])
    return torch.gather(values, 1, index)


def refuse_ended(held: Tensor, lengths: Tensor) -> None:
    """Raises `StateEnded` for frames that reach a row after its end; silent in traced code and where looking would stall a device."""
    if held.device.type != "cpu" or torch.compiler.is_compiling():
        return
    late = (held <= ENDED // 2) & (lengths > 0)
    if bool(late.any()):
        row = int(late.nonzero()[0, 0])
        raise StateEnded(
            "state",
            tr("row {row} has ended and was given {count} more frame(s)", row=row, count=int(lengths[row])),
            tr("start a new state, or pass last=False while it goes on"),
        )


def _to_width(frames: Tensor, width: int) -> Tensor:
    """Cut, or padded with zeros on the right."""
    missing = width - frames.shape[1]
    # In an exported graph the difference is not known.
    known = isinstance(missing, int)
    return frames if known and not missing else F.pad(frames, (0, 0) * (frames.dim() - 2) + (0, missing))


def _not_empty(frames: Tensor) -> Tensor:
    """With one frame of zeros where there is none, so that a gather has something to point at."""
    return frames if has_frames(frames.shape[1]) else F.pad(frames, (0, 0) * (frames.dim() - 2) + (0, 1))
