"""JAX as the other side: `pull` for functions of its arrays, and ragged rows as it wants them. Knows no layer.

In float64 as well: importing this turns on JAX's 64 bits, before any array is made. On the CPU: that is where ours run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.oracles import asked
from tests.oracles.asked import Answer, Function, Pulled, cotangents
from tests.oracles.ledger import Ledger

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs here run once: compiling them well takes longer than running them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
jax: Any = import_module("jax")
jnp: Any = import_module("jax.numpy")
jax.config.update("jax_enable_x64", True)

Array = Any
"""An array of JAX, which the checker of types does not have installed."""

JaxFunction = Callable[[list[Array]], tuple[Array, ...]]
"""Output, then final states: as `asked.Function`, of JAX's arrays."""


def to_jax(value: Tensor) -> Array:
    return jnp.asarray(value.detach().numpy())


def to_torch(value: Array) -> Tensor:
    return torch.from_numpy(np.array(value))


def pull(function: JaxFunction, at: list[Tensor], like: Answer, compiled: bool = True) -> Pulled:
    """Values and gradients by JAX, as one compiled program or step by step; `like` is an answer of the same shapes."""

    def both(at: list[Array], weights: tuple[Array, ...]) -> tuple[tuple[Array, ...], list[Array]]:
        values, back = jax.vjp(function, at)
        return values, back(weights)[0]

    run = jax.jit(both) if compiled else both
    values, gradients = run([to_jax(leaf) for leaf in at], tuple(to_jax(weight) for weight in cotangents(like)))
    output, *states = (to_torch(value) for value in values)
    return Pulled(Answer(output, tuple(states)), [to_torch(gradient) for gradient in gradients])


def agrees(page: Ledger, mine: Function, theirs: JaxFunction, at: list[Tensor], compiled: bool = True) -> None:
    """Asks both sides."""
    pulled = asked.pull(mine, at)
    asked.agree(page, pulled, pull(theirs, at, pulled.answer, compiled))


def valid_mask(lengths: Sequence[int], frames: int) -> np.ndarray:
    """Bool `[B, frames]`."""
    return np.arange(frames) < np.array(lengths)[:, None]


def padded(frames: Array, lengths: Sequence[int]) -> Array:
    """Valid frames of all rows to a batch `[B, T, ...]` with zeros behind each row."""
    places = np.nonzero(valid_mask(lengths, max(lengths)))
    return jnp.zeros((len(lengths), max(lengths), *frames.shape[1:]), frames.dtype).at[places].set(frames)


def cut(values: Array, lengths: Sequence[int]) -> Array:
    """The valid frames of a batch, row after row."""
    return values[np.nonzero(valid_mask(lengths, values.shape[1]))]
