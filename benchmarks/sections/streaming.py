"""Section 5: one frame more of one live stream, against ONNX Runtime called from Python. Knows no clock.

What of a push is Python, and dispatch, is told by a chunk of many frames: what each frame more costs is computing, the rest of a push is
there whatever it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from contest import VALUES, Asked, Bout, Case, Sizes, agree, values_of
from peers.on_onnx_runtime import Live
from tables import CHUNK

from convrnn.api.timing import Call
from convrnn.layers.base import Layer
from convrnn.layers.recurrent import GRU, LSTM

CELLS = ("gru", "lstm")

SHAPES: tuple[Sizes, ...] = ((1, 1, 64, 128),)
TINY: tuple[Sizes, ...] = ((1, 1, 5, 7),)

LAYERS = 2
FRAMES = 33
"""Of the chunk: one, and 32 more."""


def cases(asked: Asked) -> Iterator[Case]:
    """A push of one frame, and one of many against that of one."""
    for cell in asked.cells_of(CELLS):
        for sizes in asked.shapes_of(SHAPES, TINY):
            yield Case(5, cell, "push", "ONNX Runtime", sizes, 1, False, _against_onnx_runtime(cell, sizes))
            yield Case(5, cell, "push", CHUNK, (1, FRAMES, *sizes[2:]), 1, False, _against_chunk(cell, sizes))


def _net(cell: str, sizes: Sizes) -> Layer:
    torch.manual_seed(0)
    spec = LSTM(sizes[3], layers=LAYERS) if cell == "lstm" else GRU(sizes[3], layers=LAYERS)
    return spec.build(sizes[2]).eval()


def _against_onnx_runtime(cell: str, sizes: Sizes) -> Callable[[], Bout]:
    def begin() -> Bout:
        net = _net(cell, sizes)
        difference = _alike(net, Live(cell, net, LAYERS, sizes[2], sizes[3]), sizes[2])
        live, frame = Live(cell, net, LAYERS, sizes[2], sizes[3]), values_of(1, 1, sizes[2])
        array = frame.numpy()
        return Bout(_push(net, frame), lambda: live.push(array), difference)

    return begin


def _against_chunk(cell: str, sizes: Sizes) -> Callable[[], Bout]:
    def begin() -> Bout:
        net = _net(cell, sizes)
        return Bout(_push(net, values_of(1, 1, sizes[2])), _push(net, values_of(1, FRAMES, sizes[2])))

    return begin


def _push(net: Layer, frames: torch.Tensor) -> Call:
    stream = net.stream()
    return lambda: stream.push(frames)


def _alike(net: Layer, live: Live, channels: int) -> float:
    """Over a hundred frames, each by itself."""
    frames, stream = values_of(100, 1, 1, channels), net.stream()
    ours = torch.stack([stream.push(frame).values for frame in frames])
    theirs = torch.stack([torch.from_numpy(live.push(frame.numpy())) for frame in frames])
    return agree([("output", ours, theirs)], VALUES)
