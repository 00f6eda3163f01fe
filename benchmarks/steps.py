"""A training step, and an answer, of what is written in torch: ours and the peers' alike. Knows no layer and no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from contest import GRADIENTS, VALUES, Bout, agree, values_of
from torch import Tensor, nn

from convrnn.api.timing import Call
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer

Answer = tuple[Tensor, list[Tensor]]
"""Output and final states."""

Function = Callable[[Tensor, Tensor], Answer]
"""Values `[B, T, ...]` and lengths `[B]` to an answer, zero beyond the lengths."""


class Peer(NamedTuple):
    """A way of computing what a layer of ours does, with weights of its own that begin as ours.

    Attributes:
        answer: the computation.
        parameters: all of its weights.
        weights: each that is compared, beside those of ours that it is made of, joined in their second dimension.
    """

    answer: Function
    parameters: Sequence[Tensor]
    weights: Sequence[tuple[Tensor, Sequence[Tensor]]]


def ours(net: Layer) -> Function:
    """The public layer: `Seq(values, lengths)` in, output and states out."""

    def answer(x: Tensor, lengths: Tensor) -> Answer:
        seq, state = net(Seq(x, lengths))
        return seq.values, leaves(state)

    return answer


def leaves(state: Any) -> list[Tensor]:
    """The tensors of a nested state: layer by layer, direction by direction, h before c."""
    return [state] if isinstance(state, Tensor) else [leaf for part in state for leaf in leaves(part)]


def training(function: Function, parameters: Sequence[Tensor], x: Tensor, lengths: Tensor) -> Call:
    """Forward and backward: outputs and final states summed into a loss, gradients of the input and the weights."""
    x = x.clone().requires_grad_()

    def step() -> None:
        _forget(x, *parameters)
        y, states = function(x, lengths)
        torch.stack([y.sum(), *(state.sum() for state in states)]).sum().backward()

    return step


def weighted(
    function: Function, cotangents: Sequence[Tensor], optimizer: torch.optim.Optimizer, x: Tensor, lengths: Tensor
) -> Callable[[], float]:
    """What a `fit` step of Keras does with one layer: outputs and states, weighted and summed, gradients of the weights, an update."""

    def step() -> float:
        optimizer.zero_grad()
        y, states = function(x, lengths)
        loss = _weighted([y, *states], cotangents)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def inference(function: Function, x: Tensor, lengths: Tensor) -> Call:
    """Outputs and final states."""

    @torch.inference_mode()
    def call() -> Answer:
        return function(x, lengths)

    return call


def trained_alike(net: Layer, peer: Peer, x: Tensor, lengths: Tensor) -> float:
    """The largest difference of outputs, states and the gradients of input and weights, all outputs weighted at random."""
    mine, mine_dx = _pulled(ours(net), list(net.parameters()), x, lengths)
    theirs, their_dx = _pulled(peer.answer, peer.parameters, x, lengths)
    found = agree([(f"output {i}", a, b) for i, (a, b) in enumerate(zip(mine, theirs, strict=True))], VALUES)
    gradients = [("gradient of the input", mine_dx, their_dx)]
    for theirs_weight, parts in peer.weights:
        together = [gradient(part) for part in parts]
        joined = together[0] if len(together) == 1 else torch.cat(together, 1)
        gradients.append((f"gradient of a weight {list(theirs_weight.shape)}", joined, gradient(theirs_weight)))
    return max(found, agree(gradients, GRADIENTS))


def training_bout(net: Layer, peer: Peer, x: Tensor, lengths: Tensor, difference: float | None = None) -> Bout:
    """Ready to be timed; compared here, unless the difference is known."""
    if difference is None:
        difference = trained_alike(net, peer, x, lengths)
    mine = training(ours(net), list(net.parameters()), x, lengths)
    return Bout(mine, training(peer.answer, peer.parameters, x, lengths), difference)


def fitted_alike(loss: float, gradients: Sequence[np.ndarray[Any, Any]], theirs: tuple[float, Sequence[np.ndarray[Any, Any]]]) -> float:
    """The largest difference of two losses and their gradients, in the layout of the peer."""
    pairs = [(f"gradient {i}", torch.from_numpy(a), torch.from_numpy(b)) for i, (a, b) in enumerate(zip(gradients, theirs[1], strict=True))]
    return agree([("loss", torch.tensor([loss]), torch.tensor([theirs[0]])), *pairs], GRADIENTS)


def cotangents_of(answer: Answer, lengths: Tensor) -> list[Tensor]:
    """A random weight for every number of an answer, zero beyond the lengths."""
    y, states = answer
    valid = torch.arange(y.shape[1]) < lengths[:, None]
    weights = [values_of(*each.shape, seed=i + 1) for i, each in enumerate((y, *states))]
    return [weights[0] * valid.reshape(*valid.shape, *(1,) * (y.dim() - 2)), *weights[1:]]


def gradient(weight: Tensor) -> Tensor:
    """The one that backward left."""
    assert weight.grad is not None
    return weight.grad


def still(net: nn.Module) -> torch.optim.Optimizer:
    """An optimizer whose updates cost what updates cost and change nothing, so that every step is the same."""
    return torch.optim.SGD(net.parameters(), lr=0.0)


def _pulled(function: Function, parameters: Sequence[Tensor], x: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
    """Outputs and states, and the gradient of the input; those of the parameters stay with them."""
    x = x.clone().requires_grad_()
    _forget(*parameters)
    y, states = function(x, lengths)
    _weighted([y, *states], cotangents_of((y, states), lengths)).backward()
    return [each.detach() for each in (y, *states)], gradient(x)


def _weighted(outputs: Sequence[Tensor], cotangents: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(outputs, cotangents, strict=True)]).sum()


def _forget(*tensors: Tensor) -> None:
    for tensor in tensors:
        tensor.grad = None
