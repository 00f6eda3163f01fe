"""Section 3: training against Keras on TensorFlow, inference against ONNX Runtime. Knows no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import steps
import torch
from contest import VALUES, Asked, Bout, Case, Sizes, agree, lengths_of, values_of
from peers import on_keras, on_onnx_runtime
from torch import Tensor

from convrnn.core.seq import Seq, tidy
from convrnn.layers.base import Layer
from sections.grid import CELLS, GRID, TINY, built


def cases(asked: Asked) -> Iterator[Case]:
    """Every cell, full and ragged, one direction and both."""
    for peer, begin in (("Keras", _keras), ("ONNX Runtime", _onnx_runtime)):
        for cell, ragged, directions in product(asked.cells_of(CELLS), (False, True), (1, 2)):
            rival = f"masked {peer}" if peer == "Keras" and ragged else peer
            work = "train" if peer == "Keras" else "infer"
            for sizes in asked.shapes_of(GRID, TINY):
                yield Case(3, cell, work, rival, sizes, directions, ragged, begin(cell, sizes, directions, ragged))


def _keras(cell: str, sizes: Sizes, directions: int, ragged: bool) -> Callable[[], Bout]:
    """A `fit` step of one layer: no gradient of the input, and an update; ours does the same."""

    def begin() -> Bout:
        net, lengths = built(cell, sizes, directions), lengths_of(sizes[0], sizes[1], ragged)
        # A frame of zeros is what Keras masks: valid ones have none by chance.
        x = tidy(Seq(values_of(*sizes[:3]), lengths)).values
        function = steps.ours(net)
        cotangents = steps.cotangents_of(function(x, lengths), lengths)
        ours = steps.weighted(function, cotangents, steps.still(net), x, lengths)
        theirs = on_keras.recurrent(cell, net, directions == 2, ragged, x, cotangents)
        loss = ours()
        gradients = {name: steps.gradient(weight) for name, weight in net.named_parameters()}
        difference = steps.fitted_alike(loss, on_keras.recurrent_weights(cell, gradients, gradients=True), theirs.gradients())
        return Bout(ours, theirs.step, difference)

    return begin


def _onnx_runtime(cell: str, sizes: Sizes, directions: int, ragged: bool) -> Callable[[], Bout]:
    def begin() -> Bout:
        net, lengths = built(cell, sizes, directions).eval(), lengths_of(sizes[0], sizes[1], ragged)
        x = values_of(*sizes[:3])
        theirs = on_onnx_runtime.Whole(cell, net, x, lengths if ragged else None)
        theirs.call()
        return Bout(steps.inference(steps.ours(net), x, lengths), theirs.call, _alike(net, theirs, x, lengths), pause=on_onnx_runtime.REST)

    return begin


def _alike(net: Layer, theirs: on_onnx_runtime.Whole, x: Tensor, lengths: Tensor) -> float:
    """Outputs `[T, D, B, H]` and states `[D, B, H]`, h of all directions, then c; ours direction by direction."""
    with torch.inference_mode():
        y, states = steps.ours(net)(x, lengths)
    output, *finals = (torch.from_numpy(each) for each in theirs.outputs())
    pairs = [("output", y, output.permute(2, 0, 1, 3).flatten(2))]
    kinds = len(finals)
    for place, final in enumerate(finals):
        pairs.append((f"state {place}", torch.stack(states[place::kinds]), final))
    return agree(pairs, VALUES)
