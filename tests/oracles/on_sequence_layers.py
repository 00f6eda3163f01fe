"""sequence-layers (Google, Apache 2.0) on JAX as the other side, offline and stepped. Knows no layer.

Its contract is the nearest to ours: a batch with a mask, `layer` for whole rows, `step` for blocks of frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.oracles.on_jax import Array, JaxFunction, jax, jnp, padded, to_jax

sl: Any = import_module("sequence_layers.jax")
linen: Any = import_module("flax.linen")
_meta: Any = import_module("flax.core.meta")
_trees: Any = import_module("flax.traverse_util")
_by_step: Any = import_module("sequence_layers.jax.utils").step_by_step_static


def jax_dtype(dtype: torch.dtype) -> Any:
    return jnp.dtype(str(dtype).removeprefix("torch."))


def running_values(channels: int, dtype: torch.dtype) -> Tensor:
    """The running mean, and the running variance, of the batch norms compared."""
    return 1 + torch.arange(channels, dtype=dtype) / 4


States = Callable[[Any], tuple[Array, ...]]
"""Picks from their final state what ours has too."""


def none(state: Any) -> tuple[Array, ...]:
    """No state is compared."""
    return ()


def of_lstm(state: Any) -> tuple[Array, ...]:
    """h and c, each `[1, B, H]`, of c and h, each `[B, 1, H]`."""
    c, h = state
    return h.swapaxes(0, 1), c.swapaxes(0, 1)


@dataclass
class Peer:
    """A layer of theirs for rows of given lengths.

    Attributes:
        config: the layer's configuration.
        lengths: frames of each row.
        frame: what a frame looks like.
        dtype: of values and weights.
        fixed: variables that are no weights, `running_values` for each channel.
        shapes: of the weights, in the order of their names.
    """

    config: Any
    lengths: Sequence[int]
    frame: Sequence[int]
    dtype: torch.dtype
    fixed: dict[str, Any] = field(init=False)
    shapes: list[tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.layer = self.config.make()
        everything = _meta.unbox(self.layer.init(jax.random.key(0), self._batch(self._zeros()), training=False))
        # What a stack says of itself it says only with its weights.
        self.facts = self.layer.bind(everything)
        weights = _trees.flatten_dict(everything.get("params", {}))
        self.names = sorted(weights)
        self.shapes = [tuple(weights[name].shape) for name in self.names]
        self.fixed = {kind: jax.tree.map(self._moved, values) for kind, values in everything.items() if kind != "params"}

    def offline(self) -> JaxFunction:
        """All frames at once."""

        def whole(layer: Any, x: Any) -> tuple[Any, Any]:
            return layer.layer(x, training=False), ()

        return self._function(whole, 0)

    def stepped(self, blocks: int, states: States = none) -> JaxFunction:
        """`blocks` of its smallest block at a time, less the frames that come out before the first answer; then the final states."""

        def by_step(layer: Any, x: Any) -> tuple[Any, Any]:
            y, state, _ = _by_step(layer, x, training=False, blocks_per_step=blocks, with_emits=False)
            return y[:, layer.output_latency :], states(state)

        return self._function(by_step, self.facts.input_latency)

    def _function(self, run: Any, wait: int) -> JaxFunction:
        """The frames that their mask calls valid; `wait` more invalid frames flush what they hold back."""
        applied = linen.apply(run, self.layer)

        def asked(at: list[Array]) -> tuple[Any, Any]:
            frames, *weights = at
            named = _trees.unflatten_dict(dict(zip(self.names, weights, strict=True)))
            return applied({"params": named, **self.fixed}, self._batch(frames).pad_time(0, wait, valid=False))

        blank = [self._zeros(), *(jnp.zeros(shape) for shape in self.shapes)]
        valid = np.nonzero(np.array(jax.jit(lambda at: asked(at)[0].mask)(blank)))

        def function(at: list[Array]) -> tuple[Array, ...]:
            y, finals = asked(at)
            return y.values[valid], *finals

        return function

    def _moved(self, fresh: Array) -> Array:
        """Flax keeps running statistics in float32; not those of a fresh layer, which are 0 and 1."""
        return to_jax(running_values(fresh.shape[-1], self.dtype))

    def _zeros(self) -> Array:
        return jnp.zeros((sum(self.lengths), *self.frame), jax_dtype(self.dtype))

    def _batch(self, frames: Array) -> Any:
        return sl.Sequence.from_lengths(padded(frames, self.lengths), jnp.array(self.lengths))
