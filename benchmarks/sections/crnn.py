"""Section 6: the whole training step of a CRNN, loss and update included. Knows no clock.

conv 64 - ReLU - pool 2 - conv 128 - ReLU - pool 2 - both ways 128 - mean - dense 10, cross-entropy, SGD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import steps
import torch
import torch.nn.functional as F
from contest import GRADIENTS, Asked, Bout, Case, Sizes, agree, lengths_of, values_of
from peers.crnn import CRNN
from torch import Tensor, nn

from convrnn.core.seq import Seq, tidy
from convrnn.layers.base import Layer
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.framewise import Activation, Linear
from convrnn.layers.pool import Pool
from convrnn.layers.pool_whole import GlobalPool
from sections.grid import spec_of

CELLS = ("gru", "lstm")
CLASSES = 10

SHAPES: tuple[Sizes, ...] = ((32, 256, 16, 128),)
TINY: tuple[Sizes, ...] = ((3, 24, 4, 6),)

Loss = Callable[[Tensor, Tensor], Tensor]
"""Values and lengths to the mean cross-entropy."""


def cases(asked: Asked) -> Iterator[Case]:
    """Full rows against the dense idiom and Keras, ragged ones against the packed idiom."""
    for cell in asked.cells_of(CELLS):
        for sizes in asked.shapes_of(SHAPES, TINY):
            yield Case(6, cell, "train", "torch.nn", sizes, 2, False, _against_torch(cell, sizes, False))
            yield Case(6, cell, "train", "packed torch.nn", sizes, 2, True, _against_torch(cell, sizes, True))
            yield Case(6, cell, "train", "Keras", sizes, 2, False, _against_keras(cell, sizes))


def _net(cell: str, sizes: Sizes) -> Layer:
    torch.manual_seed(0)
    units = sizes[3]
    convolutions = (Conv(units // 2), Activation("relu"), Pool(2), Conv(units), Activation("relu"), Pool(2))
    return Serial(*convolutions, spec_of(cell, units, 2), GlobalPool("mean"), Linear(CLASSES)).build(sizes[2])


def _batch(sizes: Sizes, ragged: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Values, lengths and labels. Ragged lengths are multiples of 4: torch's pooling drops frames that fill no window, ours keeps them."""
    lengths = lengths_of(sizes[0], sizes[1], ragged) // 4 * 4
    labels = torch.arange(sizes[0]) % CLASSES
    return tidy(Seq(values_of(*sizes[:3]), lengths)).values, lengths, labels


def _loss(net: Layer, labels: Tensor) -> Loss:
    return lambda x, lengths: F.cross_entropy(net(Seq(x, lengths)).seq.values[:, 0], labels)


def _against_torch(cell: str, sizes: Sizes, ragged: bool) -> Callable[[], Bout]:
    def begin() -> Bout:
        x, lengths, labels = _batch(sizes, ragged)
        net = _net(cell, sizes)
        peer = CRNN(net, ragged)
        ours = _step(net, _loss(net, labels), x, lengths)
        theirs = _step(peer, lambda x, lengths: F.cross_entropy(peer(x, lengths), labels), x, lengths)
        loss = [("loss", torch.tensor(ours()), torch.tensor(theirs()))]
        pairs = [(f"gradient {i}", steps.gradient(a), steps.gradient(b)) for i, (b, a) in enumerate(peer.weights())]
        return Bout(ours, theirs, agree(loss + pairs, GRADIENTS))

    return begin


def _against_keras(cell: str, sizes: Sizes) -> Callable[[], Bout]:
    def begin() -> Bout:
        # TensorFlow is needed where it is timed: without it the other rivals still are (`--rival torch`).
        from peers import on_keras

        x, lengths, labels = _batch(sizes, False)
        net = _net(cell, sizes)
        ours, theirs = _step(net, _loss(net, labels), x, lengths), on_keras.classifier(cell, net, x, labels)
        loss = ours()
        gradients = {name: steps.gradient(weight) for name, weight in net.named_parameters()}
        difference = steps.fitted_alike(loss, on_keras.classifier_weights(cell, gradients, gradients=True), theirs.gradients())
        return Bout(ours, theirs.step, difference)

    return begin


def _step(net: nn.Module, loss_of: Loss, x: Tensor, lengths: Tensor) -> Callable[[], float]:
    """Forward, backward, update; the loss is read, as a training loop reads it."""
    optimizer = steps.still(net)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(x, lengths)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
