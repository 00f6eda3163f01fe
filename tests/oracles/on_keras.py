"""Keras on JAX as the other side. Knows no layer.

On every backend but TensorFlow, Keras 3.15 computes `tanh` and products in float32 even where all is float64: the last step of its
promotion of dtypes is a table that halves 64 bits, "to be aligned with JAX's default behavior". JAX has 64 bits here (`on_jax.py`), so
float64 is let through that table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch

from tests.oracles.on_jax import Array, JaxFunction, cut, jnp, padded, valid_mask

os.environ["KERAS_BACKEND"] = "jax"
keras: Any = import_module("keras")
import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE["float64"] = "float64"


def precise(dtype: torch.dtype) -> None:
    """Makes layers of this dtype from now on."""
    name = str(dtype).removeprefix("torch.")
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)


Pick = Callable[[Any], tuple[Array, ...]]
"""From what a layer answers: output `[B, T, ...]`, final states."""


def by_kind(states: int) -> Pick:
    """Keras lists h, or h and c, of each direction; torch and `final` stack all h, then all c."""
    return lambda answer: (answer[0], *(jnp.stack(answer[1 + i :: states]) for i in range(states)))


def masked(layer: Any, lengths: Sequence[int], pick: Pick, training: bool = False) -> JaxFunction:
    """A layer that takes a mask, on a batch padded with zeros."""
    fixed = [variable.value for variable in layer.non_trainable_variables]

    def function(at: list[Array]) -> tuple[Array, ...]:
        frames, *weights = at
        x, mask = padded(frames, lengths), jnp.asarray(valid_mask(lengths, max(lengths)))
        answer, _ = layer.stateless_call(weights, fixed, x, mask=mask, training=training)
        output, *states = pick(answer)
        return cut(output, lengths), *states

    return function


def row_by_row(layer: Any, lengths: Sequence[int], least: int = 1) -> JaxFunction:
    """A layer that knows no mask, on each row of at least `least` frames."""
    fixed = [variable.value for variable in layer.non_trainable_variables]

    def function(at: list[Array]) -> tuple[Array, ...]:
        frames, *weights = at
        starts = [sum(lengths[:i]) for i in range(len(lengths))]
        rows = [frames[start : start + n] for start, n in zip(starts, lengths, strict=True) if n >= least]
        return (jnp.concatenate([layer.stateless_call(weights, fixed, row[None])[0][0] for row in rows]),)

    return function
