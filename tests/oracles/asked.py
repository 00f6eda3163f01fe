"""The same question to both sides: one function of the same numbers, its values, final states and gradients. Knows no layer and no peer.

A function takes a list of leaves, the valid frames of all rows `[sum of lengths, *space, C]` first, then the peer's weights in the peer's
own layout. Ours reaches our parameters through a transfer (`transfer.py`), so that gradients arrive at the peer's weights on both sides.
What a peer answers is cut to valid frames, row after row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from convrnn.core.seq import Seq, State
from convrnn.layers.base import Layer
from convrnn.testing.chunks import batch_of, leaves, split_rows
from tests.oracles.ledger import Ledger


class Answer(NamedTuple):
    """Tensors of one side: the valid frames of all rows, and final states."""

    output: Tensor
    states: tuple[Tensor, ...] = ()


class Pulled(NamedTuple):
    """An answer, and the gradients of a random linear function of it with respect to the leaves."""

    answer: Answer
    gradients: list[Tensor]


Function = Callable[[list[Tensor]], Answer]
Transfer = Callable[[list[Tensor]], dict[str, Tensor]]
"""The peer's weights to our parameters, by name; differentiable."""

Finals = Callable[[State], tuple[Tensor, ...]]
"""Picks from our final state what the peer has too."""


def random_leaves(shapes: Sequence[Sequence[int]], dtype: torch.dtype) -> list[Tensor]:
    """Normal numbers, so that no weight and no bias is zero; half as large for weights, so that gates do not all saturate."""
    generator = torch.Generator().manual_seed(11)
    frames, *weights = [torch.randn(tuple(shape), generator=generator, dtype=torch.float64) for shape in shapes]
    return [leaf.to(dtype) for leaf in (frames, *(weight / 2 for weight in weights))]


def cotangents(answer: Answer) -> list[Tensor]:
    """What output and states are multiplied with before they are summed: the same on both sides."""
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype) for y in (answer.output, *answer.states)]


def pull(function: Function, at: list[Tensor]) -> Pulled:
    """Values and gradients by torch."""
    inputs = [leaf.detach().clone().requires_grad_() for leaf in at]
    answer = function(inputs)
    gradients = torch.autograd.grad([answer.output, *answer.states], inputs, cotangents(answer), allow_unused=True, materialize_grads=True)
    return Pulled(answer, list(gradients))


def none(state: State) -> tuple[Tensor, ...]:
    """No state is compared."""
    return ()


def final(states: int) -> Finals:
    """Picks h, or h and c, of every layer and direction of a recurrent layer: each `[places, B, H]`, as torch stacks them."""

    def pick(state: State) -> tuple[Tensor, ...]:
        flat = leaves(state)
        return tuple(torch.stack(flat[i::states]) for i in range(states))

    return pick


def ours(net: Layer, lengths: Sequence[int], transfer: Transfer, states: Finals = none) -> Function:
    """Our layer offline, in its own mode, the padding full of NaN."""

    def function(at: list[Tensor]) -> Answer:
        frames, *weights = at
        out = functional_call(net, transfer(weights), (batch_of(list(frames.split(list(lengths)))),))
        return Answer(torch.cat(split_rows(out.seq)), states(out.state))

    return function


def stepped(net: Layer, lengths: Sequence[int], transfer: Transfer, width: int, states: Finals = none) -> Function:
    """Our layer in chunks of `width` frames, each row ending in the chunk that brings its last one."""
    counts = torch.tensor(lengths)

    def function(at: list[Tensor]) -> Answer:
        frames, *weights = at
        parameters = transfer(weights)
        values = batch_of(list(frames.split(list(lengths)))).values
        state: State = None
        pieces: list[list[Tensor]] = [[] for _ in lengths]
        for start in range(0, max(lengths), width):
            chunk = values[:, start : start + width]
            new = (counts - start).clamp(0, chunk.shape[1])
            seq, state = functional_call(net, parameters, (Seq(chunk, new), state, counts <= start + width))
            for piece, row in zip(pieces, split_rows(seq), strict=True):
                piece.append(row)
        return Answer(torch.cat([torch.cat(piece) for piece in pieces]), states(state))

    return function


def agree(page: Ledger, mine: Pulled, theirs: Pulled) -> None:
    """Everything that both sides have answered."""
    page.close("output", mine.answer.output, theirs.answer.output)
    for got, want in zip(mine.answer.states, theirs.answer.states, strict=True):
        page.close("state", got, want)
    for got, want in zip(mine.gradients, theirs.gradients, strict=True):
        page.close("gradient", got, want)
