"""What a net is, layer by layer: shapes, parameters, reach, work and measured latency. Knows no data and no training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from convrnn.core.seq import Ids, Seq
from convrnn.layers.base import Facts, Layer, facts_of

REPEATS = 5
"""Timed runs after one that is not: the median is quoted."""


class Stage(NamedTuple):
    """A layer at its place in a net.

    Attributes:
        path: dotted place.
        layer: the layer.
        facts: ratio and reach from the input of the net to here.
        frames: how many come out where the ratio is 0.
    """

    path: str
    layer: Layer
    facts: Facts
    frames: int = 0


def stages(net: Layer) -> list[Stage]:
    """Every layer that is not made of others, in order, with its reach measured from the input of the net."""
    return list(_stages(net, "", (), 0))


def _stages(layer: Layer, path: str, before: tuple[Layer, ...], frames: int) -> Iterator[Stage]:
    """Those in a layer at this path, behind the layers that the data went through."""
    inner = list(layer.parts())
    if not inner:
        if not layer.chained:
            yield Stage(path, layer, facts_of((*before, layer)), int(layer.frames(frames)))
        return
    for place, part in inner:
        yield from _stages(part, f"{path}.{place}" if path else place, before, frames)
        if layer.chained:
            before, frames = (*before, part), int(part.frames(frames))


def shape_text(stage: Stage) -> str:
    """`[B, T/4, 32]`: what comes out of the stage."""
    ratio = stage.facts.ratio
    # After pooling to a fixed number of frames, a layer gets that many whatever the length of the row.
    frames = _scaled(ratio) if ratio else str(stage.frames)
    return f"[{', '.join(['B', frames, *map(str, stage.layer.out_shape)])}]"


def _scaled(ratio: Fraction) -> str:
    over = f"/{ratio.denominator}" if ratio.denominator != 1 else ""
    return f"{ratio.numerator if ratio.numerator != 1 else ''}T{over}"


def layer_table(net: Layer, frames: int) -> list[dict[str, Any]]:
    """One record a stage: path, layer, out, parameters, past, lookahead, and of one row of `frames` frames multiply_adds and latency_ms.

    The latency is that of this machine.
    """
    found = stages(net)
    layers = [stage.layer for stage in found]
    counted, timed = products(net, frames, layers), latencies(net, frames, layers)
    return [
        {
            "path": stage.path or stage.layer.name,
            "layer": repr(stage.layer.made_from) if stage.layer.made_from is not None else stage.layer.name,
            "out": shape_text(stage),
            "parameters": sum(parameter.numel() for parameter in stage.layer.parameters()),
            "past": stage.facts.past,
            "lookahead": stage.facts.lookahead,
            "multiply_adds": terms,
            "latency_ms": milliseconds,
        }
        for stage, terms, milliseconds in zip(found, counted, timed, strict=True)
    ]


def multiply_adds(net: Layer, frames: int) -> int:
    """Terms of the matrix products and convolutions for one row of `frames` frames, in evaluation mode.

    Counted over the operations that run, by `torch.utils.flop_counter` and `kernels.work`: a window counts whole at the borders too, where
    it reads padding; what is done element by element (gates, norms, pooling, activations) does not count.
    """
    return products(net, frames, [net])[0]


def products(net: Layer, frames: int, layers: list[Layer]) -> list[int]:
    """As `multiply_adds`, by layer; each counts what runs inside it, however often it runs."""
    counted = dict.fromkeys(layers, 0)
    counter = FlopCounterMode(display=False)

    def start(layer: torch.nn.Module, inputs: Any) -> None:
        assert isinstance(layer, Layer)
        counted[layer] -= counter.get_total_flops()

    def stop(layer: torch.nn.Module, inputs: Any, output: Any) -> None:
        assert isinstance(layer, Layer)
        counted[layer] += counter.get_total_flops()

    with _hooked(layers, start, stop), counter:
        _run(net, frames, 1)
    return [flops // 2 for flops in counted.values()]


def latencies(net: Layer, frames: int, layers: list[Layer]) -> list[float]:
    """Milliseconds in each layer for one row of `frames` frames, in evaluation mode; medians."""
    times: dict[Layer, list[float]] = {layer: [] for layer in layers}
    began: dict[Layer, float] = {}

    def start(layer: torch.nn.Module, inputs: Any) -> None:
        assert isinstance(layer, Layer)
        began[layer] = time.perf_counter()

    def stop(layer: torch.nn.Module, inputs: Any, output: Any) -> None:
        assert isinstance(layer, Layer)
        times[layer].append((time.perf_counter() - began[layer]) * 1000)

    with _hooked(layers, start, stop):
        _run(net, frames, REPEATS + 1)
    return [_median(times[layer][1:]) for layer in layers]


@contextmanager
def _hooked(
    layers: list[Layer], start: Callable[[torch.nn.Module, Any], None], stop: Callable[[torch.nn.Module, Any, Any], None]
) -> Iterator[None]:
    """Inside, each layer calls `start` before it runs and `stop` after."""
    hooks = [hook for layer in layers for hook in (layer.register_forward_pre_hook(start), layer.register_forward_hook(stop))]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def latency(net: Layer, frames: int) -> float:
    """Milliseconds for one row of `frames` frames through the whole net; the median."""
    return _median(_run(net, frames, REPEATS + 1)[1:])


def _run(net: Layer, frames: int, repeats: int) -> list[float]:
    like = next(net.parameters(), torch.empty(0))
    shape = net.in_shape
    if isinstance(shape, Ids):
        x = torch.zeros(1, frames, dtype=torch.int64, device=like.device)
    else:
        x = torch.zeros(1, frames, *shape, dtype=like.dtype, device=like.device)
    taken: list[float] = []
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            net(Seq(x))
            taken.append((time.perf_counter() - start) * 1000)
    return taken


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
