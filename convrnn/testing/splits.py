"""Laws 1 to 3 over many random splits of a case: values, states and gradients from one pass each. Knows no layer in particular.

The laws of `laws.py` make everything anew for each seed and look at one thing; hundreds of splits a case would take hours. Here the whole
is computed once for several splits, and each split is held against all of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from convrnn.core.seq import State
from convrnn.layers.base import Layer
from convrnn.testing.case import Case, draw_from, gradients
from convrnn.testing.chunks import Chunked, LawBroken, batch_of, compare, compare_states, in_chunks, split_rows

SHARING = 10
"""Splits that share their input and the answers to the whole."""

GOING_ON = 4
"""One split in so many also stops before the end, and its state is compared there."""


class _Answers(NamedTuple):
    """What came of rows, at once or in chunks."""

    rows: list[Tensor]
    ended: State
    gradients: list[Tensor]


def check_splits(case: Case, seeds: range, training: bool = False) -> None:
    """Raises `LawBroken`, with the seed of the split, unless every split answers as the whole."""
    net = case.build(training)
    for start in range(seeds.start, seeds.stop, SHARING):
        rows = case.rows(start)
        whole = _answers(net, rows, start, lambda inputs: _at_once(net, inputs, True))
        going_on = _at_once(net, rows, False).state
        for seed in range(start, min(start + SHARING, seeds.stop)):
            try:
                split = _answers(net, rows, start, lambda inputs, seed=seed: in_chunks(net, inputs, random.Random(seed)))
                _compare(split, whole, training)
                if not training and seed % GOING_ON == 0:
                    before = in_chunks(net, rows, random.Random(seed), end=False).state
                    compare_states("state before the end", before, going_on)
            except LawBroken as error:
                raise LawBroken(f"split {seed}: {error}") from None


def _at_once(net: Layer, rows: list[Tensor], last: bool) -> Chunked:
    out = net(batch_of(rows), None, last)
    return Chunked(split_rows(out.seq), out.state)


def _answers(net: Layer, rows: list[Tensor], given: int, run: Callable[[list[Tensor]], Chunked]) -> _Answers:
    """What `run` makes of the rows, and the gradients of a random linear function of it; masks are those of the same seed every time."""
    draw_from(given)
    kept: list[Chunked] = []

    def outputs(inputs: list[Tensor]) -> list[Tensor]:
        kept.append(run(inputs))
        return kept[0].rows

    found = gradients(net, rows, outputs, given)
    return _Answers(kept[0].rows, kept[0].state, found)


def _compare(split: _Answers, whole: _Answers, training: bool) -> None:
    for i, (a, b) in enumerate(zip(split.rows, whole.rows, strict=True)):
        compare(f"row {i}", a, b)
    for i, (a, b) in enumerate(zip(split.gradients, whole.gradients, strict=True)):
        compare(f"gradient {i}", a, b, gradient=True)
    if not training:
        compare_states("state after the end", split.ended, whole.ended)
