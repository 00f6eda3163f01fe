"""One layer, every way of asking it: each row by itself, ragged batches, every chunking. Knows no formula."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise

import torch
from torch import Tensor

from convrnn.core.seq import Seq, State
from convrnn.layers.base import Layer

EXACT = 1e-12


def put(net: Layer, weights: Mapping[str, object]) -> Layer:
    """The net in float64 with these parameters; those that are not named are zero."""
    net = net.double().eval()
    values = {name: torch.tensor(value, dtype=torch.float64) for name, value in weights.items()}
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(values.pop(name).reshape(parameter.shape)) if name in values else parameter.zero_()
    assert not values, f"no parameters {list(values)} in {[name for name, _ in net.named_parameters()]}"
    return net


def chunkings(frames: int) -> Iterator[tuple[int, ...]]:
    """Every way to cut so many frames into chunks of at least one: 2^(frames - 1) of them."""
    for cuts in (cut for n in range(frames) for cut in combinations(range(1, frames), n)):
        places = (0, *cuts, frames)
        yield tuple(b - a for a, b in pairwise(places))


def answers(net: Layer, rows: Sequence[Tensor]) -> Iterator[tuple[str, list[Tensor], State]]:
    """What was asked, the frames of each row, and the final state where it is one of all rows.

    The padding of a batch is NaN: who reads it cannot hide it.
    """
    yield "each row alone", [net(Seq(row[None])).seq.values[0] for row in rows], None
    lengths = [len(row) for row in rows]
    y, state = net(Seq(padded(rows, max(lengths)), torch.tensor(lengths)))
    yield "a ragged batch", cut(y), state
    if not net.streams:
        return
    for chunking in chunkings(max(lengths)):
        parts, after = streamed(net, rows, chunking)
        yield f"a ragged batch in chunks of {chunking}", parts, after


def streamed(net: Layer, rows: Sequence[Tensor], chunking: Sequence[int]) -> tuple[list[Tensor], State]:
    """The rows of a batch in chunks, and a last chunk of no frames that ends them all."""
    state: State = None
    parts: list[list[Tensor]] = [[] for _ in rows]
    start = 0
    for size in (*chunking, 0):
        pieces = [row[start : start + size] for row in rows]
        y, state = net(Seq(padded(pieces, size), torch.tensor([len(piece) for piece in pieces])), state, last=not size)
        for part, new in zip(parts, cut(y), strict=True):
            part.append(new)
        start += size
    return [torch.cat(part) for part in parts], state


def padded(rows: Sequence[Tensor], frames: int) -> Tensor:
    """`[B, frames, ...]` with NaN behind each row."""
    whole = rows[0].new_full((len(rows), frames, *rows[0].shape[1:]), float("nan"))
    for place, row in enumerate(rows):
        whole[place, : len(row)] = row
    return whole


def cut(y: Seq) -> list[Tensor]:
    """The valid frames of each row."""
    assert y.lengths is not None
    return [values[:length] for values, length in zip(y.values, y.lengths.tolist(), strict=True)]


def holds(net: Layer, rows: Sequence[object], wanted: Sequence[object]) -> None:
    """Asserts that each row `[T]` or `[T, C]` has its wanted answer, however it is asked."""
    given = [column(row, 1) for row in rows]
    want = [column(row, 1) for row in wanted]
    with torch.no_grad():
        for asked, got, _ in answers(net, given):
            for number, (one, right) in enumerate(zip(got, want, strict=True)):
                assert one.numel() == right.numel(), f"{asked}: row {number} has {one.tolist()}, expected {right.tolist()}"
                close(one.reshape(right.shape), right, f"{asked}: row {number}")


def column(row: object, channels: int) -> Tensor:
    """`[T]` or `[T, C]` as float64 `[T, C]`."""
    values = torch.tensor(row, dtype=torch.float64)
    return values.reshape(-1, channels) if values.dim() < 2 else values


def close(got: Tensor, want: Tensor, what: str) -> None:
    """Within 1e-12."""
    assert got.dtype == torch.float64
    off = float((got - want).abs().max()) if want.numel() else 0.0
    assert off <= EXACT, f"{what}: {got.tolist()} is not {want.tolist()} (off by {off:.3g})"
