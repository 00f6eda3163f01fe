"""Feeding a layer in random pieces, and comparing what comes out. Knows no law."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convrnn.core.seq import Ids, Seq, Shape, State
from convrnn.layers.base import Layer


class LawBroken(AssertionError):
    """A layer does not keep its contract."""


TOLERANCE = {torch.float64: (1e-10, 1e-10), torch.float32: (1e-5, 1e-4)}
"""For values and for gradients, times (1 + the largest magnitude). Never loosened."""


def compare(what: str, got: Tensor, want: Tensor, gradient: bool = False) -> None:
    """Raises `LawBroken` unless shapes and dtypes are equal and |got - want| <= tolerance (1 + max |want|)."""
    got, want = got.detach(), want.detach()
    if got.shape != want.shape or got.dtype != want.dtype:
        raise LawBroken(f"{what}: {got.dtype} {list(got.shape)} is not {want.dtype} {list(want.shape)}")
    if not want.numel() or (not want.dtype.is_floating_point and bool((got == want).all())):
        return
    finite = (
        torch.where(torch.isfinite(want) & (want.abs() < torch.finfo(want.dtype).max / 2), want, 0)
        if want.dtype.is_floating_point
        else want
    )
    bound = TOLERANCE.get(want.dtype, (0.0, 0.0))[gradient] * (1 + float(finite.abs().max()))
    error = float(torch.where(got == want, 0, (got - want).abs()).max())
    if not error <= bound:
        raise LawBroken(f"{what}: differs by {error:.3g}, allowed {bound:.3g}")


def leaves(state: State) -> list[Tensor]:
    """The tensors of a nested state, in order."""
    if state is None:
        return []
    return [state] if isinstance(state, Tensor) else [leaf for part in state for leaf in leaves(part)]


def compare_states(what: str, got: State, want: State) -> None:
    """As `compare`, for every tensor of two states."""
    mine, theirs = leaves(got), leaves(want)
    if len(mine) != len(theirs):
        raise LawBroken(f"{what}: {len(mine)} tensors, expected {len(theirs)}")
    for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        compare(f"{what} {i}", a, b)


def make_rows(in_shape: Shape | Ids, lengths: tuple[int, ...], seed: int, dtype: torch.dtype) -> list[Tensor]:
    """One tensor a row: `[n, *space, C]`, or ids `[n]`."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(in_shape, Ids):
        return [torch.randint(in_shape.size, (n,), generator=generator) for n in lengths]
    return [torch.randn(n, *in_shape, generator=generator, dtype=dtype) for n in lengths]


def pad_rows(rows: list[Tensor], frames: int, poison: bool = True) -> Tensor:
    """`[B, frames, ...]`; the padding is NaN (ids: a number that is no id), or zero."""
    floating = rows[0].dtype.is_floating_point
    fill = (float("nan") if floating else -7) if poison else 0
    return torch.stack([torch.cat([row, row.new_full((frames - len(row), *row.shape[1:]), fill)]) for row in rows])


def batch_of(rows: list[Tensor], poison: bool = True) -> Seq:
    """A padded batch with lengths."""
    lengths = torch.tensor([len(row) for row in rows])
    return Seq(pad_rows(rows, int(lengths.max()) if len(rows) else 0, poison), lengths)


def split_rows(seq: Seq) -> list[Tensor]:
    """The valid frames of each row."""
    counts = [seq.values.shape[1]] * seq.values.shape[0] if seq.lengths is None else seq.lengths.tolist()
    return [row[:n] for row, n in zip(seq.values, counts, strict=True)]


class Chunked(NamedTuple):
    """What came out of a stream: the frames of each row, and the state before and after the end."""

    rows: list[Tensor]
    state: State


def in_chunks(net: Layer, rows: list[Tensor], rng: random.Random, end: bool = True) -> Chunked:
    """Feeds rows in random ragged chunks: empty ones, rows that pause, join late and end in different chunks.

    Args:
        net: the layer.
        rows: one tensor a row.
        rng: chooses the chunks.
        end: whether rows end; if not, the state can go on.
    """
    state: State = None
    pieces: list[list[Tensor]] = [[] for _ in rows]
    position, joins = [0] * len(rows), [rng.choice((0, 0, 0, 1, 2)) for _ in rows]
    ended = [False] * len(rows)
    # Rows of hundreds of frames in chunks of one take a second a split and show nothing new.
    longest = max((len(row) for row in rows), default=0)
    most = rng.choice((1, 2, 3, 5, 8)) * (1 + longest // 32)
    turn = 0
    while turn == 0 or not all(ended if end else [p == len(r) for p, r in zip(position, rows, strict=True)]):
        width = rng.randint(0, most)
        counts = [
            0 if turn < joins[i] or rng.random() < 0.15 else min(rng.choice((width, rng.randint(0, width))), len(row) - position[i])
            for i, row in enumerate(rows)
        ]
        ends = [end and not ended[i] and position[i] + counts[i] == len(row) and rng.random() < 0.6 for i, row in enumerate(rows)]
        chunk = pad_rows([row[p : p + n] for row, p, n in zip(rows, position, counts, strict=True)], width)
        full = all(n == width for n in counts) and rng.random() < 0.7
        last: Any = torch.tensor(ends) if any(ends) or rng.random() < 0.3 else False
        if all(ends):
            last = rng.choice((True, last))
        (y, lengths, _), state = net(Seq(chunk, None if full else torch.tensor(counts)), state, last)
        for i, piece in enumerate(split_rows(Seq(y, lengths))):
            pieces[i].append(piece)
        position = [p + n for p, n in zip(position, counts, strict=True)]
        ended = [a or b for a, b in zip(ended, ends, strict=True)]
        turn += 1
    return Chunked([torch.cat(parts) for parts in pieces], state)
