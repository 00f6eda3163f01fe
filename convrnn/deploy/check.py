"""An exported graph against the net that it was made from: several batch sizes, lengths and chunk sizes. Knows no format.

What is run is a function of named tensors, so that one check serves every format. The padding holds NaN, rows are ragged, some are empty;
in a step graph they join late, pause, end in different chunks and leave the batch.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from convrnn.core.errors import JobError
from convrnn.core.language import tr
from convrnn.core.seq import Seq, expand_mask, frame_mask
from convrnn.deploy.graphs import Graph, Step, dtype_of

Run = Callable[[Mapping[str, Tensor]], Sequence[Tensor]]
"""The exported graph: named inputs to the outputs, in order."""

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""The largest difference allowed in an output, times the largest number in it. Counts and clocks must be equal."""

SIZES = ((1, 1), (3, 20), (17, 57), (2, 400))
"""Rows and frames of the batches that a graph of whole rows is checked on."""

LENGTHS = (61, 40, 7, 1, 0, 48, 3, 12, 0, 80, 33, 2, 18, 5, 100, 9, 27)
"""Frames of the rows that a step graph is fed."""

CHUNKS, JOINS = (7, 0, 1, 40), (1, 2, 1, 13)
"""Frames of the chunks, over and over; rows that join before each of the first of them."""


class Differences:
    """What a graph and its net differ by, for each output, over all runs: a single small answer has no digits to be measured by."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.largest: dict[str, float] = {}
        self.worst: dict[str, tuple[float, str]] = {}

    def compare(self, name: str, got: Tensor, want: Tensor, where: str) -> None:
        """Notes the largest difference; another shape or dtype, or other integers, differ without bound."""
        error = float("inf")
        if got.shape == want.shape and got.dtype == want.dtype:
            apart = torch.where(got == want, 0.0, (got.double() - want.double()).abs())
            error = float(apart.amax()) if apart.numel() else 0.0
            if error != 0 and not want.dtype.is_floating_point:
                error = float("inf")
        finite = want[torch.isfinite(want)].double().abs()
        self.largest[name] = max(self.largest.get(name, 0.0), float(finite.amax()) if finite.numel() else 0.0)
        before = self.worst.get(name, (-1.0, ""))[0]
        # NaN is more than any number, and no number takes its place.
        if before == before and not error <= before:
            self.worst[name] = error, where

    def judge(self, where: str) -> float:
        """The largest difference, relative to the largest number of its output.

        Raises:
            JobError: it is more than `TOLERANCE`; says what differs, by how much, and where.
        """
        found = 0.0
        for name, (error, place) in self.worst.items():
            largest = self.largest[name]
            if not error <= TOLERANCE[self.dtype] * largest:
                by = (
                    tr("in shape or in whole numbers")
                    if error == float("inf")
                    else tr("by {error:.3g}, its largest number being {largest:.3g}", error=error, largest=largest)
                )
                problem = tr("the exported graph is not the net: {name} differs {by}, at {place}", name=name, by=by, place=place)
                raise JobError(where, problem, tr("nothing was written; please report it"))
            found = max(found, error / largest if error else 0.0)
        return found


def check(graph: Graph, run: Run, where: str) -> float:
    """Runs the exported graph against its net.

    Args:
        graph: what was exported.
        run: the exported form.
        where: named in the error.

    Returns:
        The largest relative difference found.

    Raises:
        JobError: they differ.
    """
    found = Differences(dtype_of(graph.net))
    with torch.inference_mode():
        if isinstance(graph, Step):
            _check_step(graph, run, found)
        else:
            _check_offline(graph, run, found)
    return found.judge(where)


def _check_offline(graph: Graph, run: Run, found: Differences) -> None:
    rng, draw = random.Random(0), torch.Generator().manual_seed(0)
    for rows, frames in SIZES:
        counts = [frames, 0, *(rng.randint(0, frames) for _ in range(rows))][:rows]
        if graph.fixed:
            frames = graph.fixed[-1]
            counts = [frames] * rows
        lengths = torch.tensor(counts)
        inputs = _padded(graph.values(rows, frames, draw), lengths), lengths
        _run_both(graph, run, inputs, found, f"batch {rows}, {frames} frames")


def _check_step(graph: Step, run: Run, found: Differences) -> None:
    """Each step equals the net's step, and what came out of the steps the answer to the whole row."""
    draw = torch.Generator().manual_seed(0)
    lengths = [graph.fixed[n % len(graph.fixed)] for n in LENGTHS] if graph.fixed else list(LENGTHS)
    rows = [graph.values(1, n, draw)[0] for n in lengths]
    for i, (row, got) in enumerate(zip(rows, _feed(graph, run, rows, found), strict=True)):
        want = graph.net(Seq(row[None])).seq.values[0]
        found.compare("y of all steps together", got, want, f"row {i} of {len(row)} frames")


def _feed(graph: Step, run: Run, rows: list[Tensor], found: Differences) -> list[Tensor]:
    """What comes out for each row, fed through one graph whose batch changes from chunk to chunk."""
    rng = random.Random(0)
    pieces: list[list[Tensor]] = [[] for _ in rows]
    waiting, inside = list(range(len(rows))), []
    fed, state = [0] * len(rows), graph.begin(0)
    for turn in itertools.count():
        joining = [waiting.pop(0) for _ in range(min(JOINS[turn] if turn < len(JOINS) else 1, len(waiting)))]
        inside += joining
        if not inside:
            return [torch.cat(parts) for parts in pieces]
        state = tuple(torch.cat(pair) for pair in zip(state, graph.begin(len(joining)), strict=True))
        width = CHUNKS[turn % len(CHUNKS)]
        counts = [min(rng.choice((width, width, rng.randint(0, width))), len(rows[i]) - fed[i]) for i in inside]
        ends = torch.tensor([fed[i] + n == len(rows[i]) and rng.random() < 0.7 for i, n in zip(inside, counts, strict=True)])
        chunk = torch.stack([_widened(rows[i][fed[i] : fed[i] + n], width) for i, n in zip(inside, counts, strict=True)])
        inputs = chunk, torch.tensor(counts), ends, *state
        y, emitted, *after = _run_both(graph, run, inputs, found, f"chunk {turn}: {len(inside)} rows, {width} frames")
        for i, n, frames, out in zip(inside, counts, y, emitted.tolist(), strict=True):
            pieces[i].append(frames[:out])
            fed[i] += n
        # A row that has ended leaves; those behind it move up.
        state = tuple(each[~ends] for each in after)
        inside = [i for i, ended in zip(inside, ends.tolist(), strict=True) if not ended]
    raise AssertionError("rows end")


def _run_both(graph: Graph, run: Run, inputs: Sequence[Tensor], found: Differences, where: str) -> Sequence[Tensor]:
    """What the exported graph gives, compared with what the net gives."""
    outputs = run(dict(zip(graph.inputs, inputs, strict=True)))
    for name, got, want in zip(graph.outputs, outputs, graph(*inputs), strict=True):
        found.compare(name, got, want, where)
    return outputs


def _padded(values: Tensor, lengths: Tensor) -> Tensor:
    """NaN, or an id that is none, beyond the lengths."""
    return torch.where(expand_mask(frame_mask(values.shape[1], lengths), values), values, _poison(values))


def _widened(row: Tensor, frames: int) -> Tensor:
    """A row with its padding."""
    return torch.cat([row, _poison(row).expand(frames - len(row), *row.shape[1:])])


def _poison(like: Tensor) -> Tensor:
    return like.new_full((), float("nan") if like.dtype.is_floating_point else -7)
