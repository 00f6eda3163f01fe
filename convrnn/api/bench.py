"""What a net costs on this machine, beside what the machine can do at most and beside torch.nn. Prints nothing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convrnn.api import machine
from convrnn.api.timing import Call, by_turns, ratio
from convrnn.api.twin import torch_twin
from convrnn.core.errors import JobError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, Shape
from convrnn.kernels import dispatch
from convrnn.layers.base import Layer, Spec
from convrnn.layers.recurrent import GRU, LSTM, RNN
from convrnn.layers.scan import MinGRU
from convrnn.zoo import Fingerprint, get

Work = Literal["train", "infer", "row", "step"]
"""A training step of a batch (forward and backward, no optimizer); its answers; those of one row; one frame more of one stream."""

ROUNDS = 9
"""Turns of each rival; the median counts."""

TOLERANCE = 1e-4
"""The most by which torch.nn may differ, of the largest number; float32."""


class Speed(NamedTuple):
    """This machine.

    Attributes:
        processor: its name.
        instruction_set: of the compiled kernels.
        threads: that torch and the kernels use.
        torch: version.
        sgemm: float32 operations a second of a large matrix product.
        memory: bytes a second, read and written.
        load: processes that wanted a core in the minute before, on average; None: not known.
        product: the matrix product that was the fastest.
    """

    processor: str
    instruction_set: str
    threads: int
    torch: str
    sgemm: float
    memory: float
    load: float | None
    product: machine.Limit


class Cost(NamedTuple):
    """One kind of work of one net; medians.

    Attributes:
        work: see `Work`.
        rows: of the batch.
        frames: of each row.
        seconds: for all of it.
        frames_per_second: in, over all rows.
        sgemm_share: operations of its products and convolutions a second, over those of a matrix product measured in the same minutes;
            None where the work is too small for that to mean anything.
        torch_seconds: the same by torch.nn; None: it does not have the layer.
        torch_ratio: its time over ours, pair by pair.
    """

    work: Work
    rows: int
    frames: int
    seconds: float
    frames_per_second: float
    sgemm_share: float | None
    torch_seconds: float | None
    torch_ratio: float | None


def speed() -> Speed:
    """Measures the machine; a second or two."""
    load = machine.load()
    products, memory = machine.matrix_limits(), machine.memory_limits()
    taken = by_turns({limit.name: limit.call for limit in (*products, *memory)}, ROUNDS)
    fastest = max(products, key=lambda limit: machine.best([limit], taken))
    return Speed(
        machine.processor(),
        machine.instruction_set(),
        torch.get_num_threads(),
        torch.__version__,
        machine.best(products, taken),
        machine.best(memory, taken),
        load,
        fastest,
    )


def usual(units: int) -> list[Spec]:
    """The recurrences that are measured where nobody asks for another."""
    both = (GRU(units, bidirectional=True), LSTM(units, bidirectional=True))
    return [RNN(units), GRU(units), LSTM(units), *both, MinGRU(units)]


def zoo_body(name: str, shape: Shape | Ids, frames: int) -> Spec:
    """The body that a name of the zoo stands for, for rows of `frames` frames of this shape.

    Raises:
        SpecError: no such name.
        UsageError: the model does not take such frames.
    """
    kind = "text" if isinstance(shape, Ids) else "series" if len(shape) == 1 else "image"
    return get(name).spec(Fingerprint.of(kind, shape, [frames], classes=2))


def costs(net: Layer, rows: int, frames: int, works: Sequence[Work], now: Speed) -> list[Cost]:
    """Times a net, and torch.nn's where it has one, after comparing what the two answer.

    Args:
        net: in training or evaluation mode; left in evaluation mode.
        rows: of a batch.
        frames: of each row.
        works: what to time; `step` needs a net that streams.
        now: of this machine.

    Raises:
        NotStreamable: a step of a net that does not stream.
        JobError: torch.nn answers something else.
    """
    twin = torch_twin(net)
    if twin is not None:
        _compare(net, twin, frames)
    return [_cost(net, twin, work, rows, frames, now) for work in works]


def _cost(net: Layer, twin: nn.RNNBase | None, work: Work, rows: int, frames: int, now: Speed) -> Cost:
    rows, frames = rows if work in ("train", "infer") else 1, 1 if work == "step" else frames
    calls = {"ours": call_of(net, work, rows, frames)}
    if twin is not None:
        calls["torch"] = _twin_call(twin, work, _values(net.in_shape, rows, frames))
    if work in ("train", "infer"):
        calls["sgemm"] = now.product.call
    net.train(work == "train")
    taken = by_turns(calls, ROUNDS)
    net.eval()
    seconds = median(taken["ours"])
    share = _operations(net, work, rows, frames) / seconds / (now.product.amount / median(taken["sgemm"])) if "sgemm" in taken else None
    by_torch = (median(taken["torch"]), ratio(taken, "ours", "torch")) if "torch" in taken else (None, None)
    return Cost(work, rows, frames, seconds, rows * frames / seconds, share, *by_torch)


def call_of(net: Layer, work: Work, rows: int, frames: int) -> Call:
    """The work on random rows, done once a call; a `step` needs a net that streams."""
    values = _values(net.in_shape, rows, frames)
    if work == "step":
        stream = net.stream()
        return lambda: stream.push(values)
    x = Seq(values, torch.full((rows,), frames))
    if work == "train":
        return lambda: _trained(net, x)
    return lambda: _inferred(net, x)


def _trained(net: Layer, x: Seq) -> None:
    net.zero_grad()
    net(x).seq.values.sum().backward()


@torch.inference_mode()
def _inferred(net: Layer, x: Seq) -> Tensor:
    return net(x).seq.values


def _twin_call(twin: nn.RNNBase, work: Work, values: Tensor) -> Call:
    """The same by torch.nn."""
    if work == "train":

        def train() -> None:
            twin.zero_grad()
            twin(values)[0].sum().backward()

        return train
    state: list[Any] = [None]

    @torch.inference_mode()
    def infer() -> Tensor:
        y, after = twin(values, state[0])
        state[0] = after if work == "step" else None
        return y

    return infer


def _values(shape: Shape | Ids, rows: int, frames: int) -> Tensor:
    """Random frames, the same each time."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(shape, Ids):
        return torch.randint(shape.size, (rows, frames), generator=generator)
    return torch.randn(rows, frames, *shape, generator=generator)


def _operations(net: Layer, work: Work, rows: int, frames: int) -> float:
    """Of the products and convolutions, counted in the readable definition, which does them one by one."""
    x = Seq(_values(net.in_shape, rows, frames))
    with dispatch.use("reference"), FlopCounterMode(display=False) as counter:
        if work == "train":
            _trained(net, x)
        else:
            _inferred(net, x)
    return counter.get_total_flops()


def _compare(net: Layer, twin: nn.RNNBase, frames: int) -> None:
    """Raises `JobError` unless the two answer alike."""
    values = _values(net.in_shape, 2, frames)
    with torch.inference_mode():
        ours, theirs = net(Seq(values)).seq.values, twin(values)[0]
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    if not difference <= TOLERANCE:
        raise JobError(
            "bench",
            tr("{net} and torch.nn differ by {difference:.1e} of the largest number", net=net.name, difference=difference),
            tr("report it: this is a fault"),
        )
