"""What a trained model costs, and how far back its gradient reaches: for the tables of a study. Trains nothing, writes nothing.

*Gradient against distance.* Every pool over the whole row is made to give its last frame; then the norm of d loss / d input frame is
taken frame by frame. What comes from k frames before the end has passed k steps of the recurrence, and how it falls with k is how the model
forgets (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convrnn.api.bench import call_of
from convrnn.api.records import median_frames
from convrnn.api.runs import prepared_of
from convrnn.api.timing import by_turns
from convrnn.core.seq import Ids, Seq, row_lengths
from convrnn.data.batch import collate
from convrnn.deploy import load
from convrnn.deploy.describe import multiply_adds
from convrnn.layers.base import Layer, Out
from convrnn.layers.pool_whole import GlobalPool
from convrnn.layers.stacked import Stacked
from convrnn.layers.window import TimeDistributed
from convrnn.tasks import Task
from convrnn.tasks.base import answers
from convrnn.training.feeding import Part

ROUNDS = 9
"""Turns of a latency; the median counts."""

ROWS = 16
"""Rows that gradients are averaged over."""

GROWTH = 1.1
"""Distances are put together in bins, each at most so much further than the one before."""


def costs(run: Path) -> dict[str, Any]:
    """Of the model of a run, a row being of median length.

    Returns:
        `parameters`; `multiply_adds` of a row; `latency_ms` of a row, offline; `push_ms`: one frame through a stream, None: it does not
        stream; `disk_bytes` of what is needed to predict.
    """
    net, frames = load(run).net, median_frames(run)
    calls = {"row": call_of(net, "row", 1, frames)}
    if net.streams:
        calls["step"] = call_of(net, "step", 1, 1)
    taken = by_turns(calls, ROUNDS)
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "multiply_adds": multiply_adds(net, frames),
        "latency_ms": round(1000 * median(taken["row"]), 4),
        "push_ms": round(1000 * median(taken["step"]), 4) if "step" in taken else None,
        "disk_bytes": sum(path.stat().st_size for path in (run / "model.json", *run.glob("model*.safetensors"))),
    }


def gradients(run: Path) -> list[dict[str, Any]]:
    """`{"when", "distance", "norm"}` before and after the training of a run; nothing where the model has no recurrence."""
    before = prepared_of(run)
    if not any(isinstance(layer.made_from, Stacked) for _, layer in before.model.net.walk()):
        return []
    part = before.encoded.get("valid", before.encoded["train"])
    nets = {"begin": before.model.net, "end": load(run).net}
    return [{"when": when, **_by_distance(net, before.model.task, part)} for when, net in nets.items()]


def _by_distance(net: Layer, task: Task, part: Part) -> dict[str, Any]:
    """Over some rows of a part, from its first to its last."""
    spread = np.unique(np.linspace(0, len(part.encoded) - 1, ROWS).round())
    some = [int(row) for row in spread if part.encoded.lengths[int(row)]]
    x = collate([part.encoded[row] for row in some])
    return binned(gradient_norms(net, task, x, part.targets[some]), row_lengths(x))


def binned(norms: Tensor, lengths: Tensor) -> dict[str, list[float]]:
    """The mean norm in each bin of distances from the end of a row, and the mean distance there.

    Args:
        norms: of each frame, `[B, T]`.
        lengths: int64 `[B]`.
    """
    away = lengths[:, None] - 1 - torch.arange(norms.shape[1])
    starts = torch.tensor(_starts(norms.shape[1]))
    place = torch.bucketize(away, starts, right=True) - 1
    found: dict[str, list[float]] = {"distance": [], "norm": []}
    for chosen in (place == number for number in range(len(starts))):
        if bool(chosen.any()):  # a frame beyond its row has no distance, hence no bin
            found["distance"].append(round(float(away[chosen].double().mean()), 1))
            found["norm"].append(float(norms[chosen].double().mean()))
    return found


def gradient_norms(net: Layer, task: Task, x: Seq, targets: Tensor) -> Tensor:
    """The norm of d loss / d input frame, each row's own loss of its last frame, `[B, T]`.

    Args:
        net: ends in the head of the task; left in evaluation mode.
        task: whose loss it is.
        x: rows; of symbols, a frame is what the embedding makes of it.
        targets: encoded, one a row.
    """
    net.eval()
    leaves: list[Tensor] = []
    if x.values.is_floating_point():
        x = x._replace(values=x.values.clone().requires_grad_())
        leaves.append(x.values)
    with _answering_last(net, leaves):
        # A mean over rows: times their number it is the sum of what each row loses alone, since no row sees another.
        loss = task.loss(answers(net, x), targets) * len(targets)
        found = torch.autograd.grad(loss, leaves)
    return torch.stack([gradient.flatten(2).norm(dim=2) for gradient in found]).norm(dim=0)


@contextmanager
def _answering_last(net: Layer, leaves: list[Tensor]) -> Iterator[None]:
    """Inside, pools of whole rows give the last frame, and what embeddings give is added to `leaves`."""

    def last(layer: nn.Module, inputs: tuple[Any, ...], out: Out) -> Out:
        seen: Seq = inputs[0]
        ends = (row_lengths(seen) - 1).clamp(min=0)
        return Out(Seq(seen.values[torch.arange(len(ends)), ends][:, None], out.seq.lengths), out.state)

    def begin(layer: nn.Module, inputs: tuple[Any, ...], out: Out) -> Out:
        leaves.append(out.seq.values.detach().requires_grad_())
        return out._replace(seq=out.seq._replace(values=leaves[-1]))

    hooks = [layer.register_forward_hook(last) for layer in _pools(net)]
    symbols = [layer for _, layer in net.walk() if isinstance(layer.in_shape, Ids) and next(layer.parts(), None) is None]
    hooks += [layer.register_forward_hook(begin) for layer in symbols]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _pools(net: Layer) -> Iterator[Layer]:
    """Those over the row itself, not over the windows of it; the ones that change no width."""
    if isinstance(net.made_from, GlobalPool) and net.out_shape == net.in_shape:
        yield net
    if not isinstance(net.made_from, TimeDistributed):
        for _, part in net.parts():
            yield from _pools(part)


def _starts(frames: int) -> list[int]:
    """Where bins of distances begin: one by one at first, then further and further apart."""
    found = [0]
    while found[-1] < frames - 1:
        found.append(max(found[-1] + 1, int(found[-1] * GROWTH)))
    return found
