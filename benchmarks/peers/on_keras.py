"""Keras 3 on TensorFlow: compiled `fit` steps with our weights. Knows no clock.

A step is the function that `fit` calls for every batch (`train_function`), compiled as Keras chooses; callbacks and progress bar are left
out. TensorFlow's two pools have as many threads as torch has. Each builder forgets the models before it, which Keras would keep.

Legend: C channels, H units. Kernels are `[C, G]`, recurrent kernels `[H, G]`; a GRU's gates stand z r n, ours r z n; an LSTM's as ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convrnn.layers.base import Layer

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Both are untyped.
tf: Any = import_module("tensorflow")
tf.config.threading.set_intra_op_parallelism_threads(torch.get_num_threads())
tf.config.threading.set_inter_op_parallelism_threads(torch.get_num_threads())
keras: Any = import_module("keras")

_ORDER = {"gru": (1, 0, 2), "gru-before": (1, 0, 2), "lstm": (0, 1, 2, 3), "rnn": (0,)}

Arrays = list[np.ndarray[Any, Any]]


class Weighted(keras.Model):
    """A model whose loss is the sum of its outputs, each number weighted by the target in its place."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True) -> Any:
        """See `keras.Model.compute_loss`."""
        return sum(keras.ops.sum(weights * output) for weights, output in zip(y, y_pred, strict=True))


class Fit:
    """A model on one batch, trained again and again."""

    def __init__(self, model: Any, inputs: Tensor, targets: Any) -> None:
        self.model = model
        model.make_train_function()
        self._batches = iter(tf.data.Dataset.from_tensors((inputs.numpy(), targets)).repeat())

    def step(self) -> float:
        """One step; the loss before it."""
        return float(self.model.train_function(self._batches)["loss"])

    def gradients(self) -> tuple[float, Arrays]:
        """The loss and its gradients, by the compiled step itself: at a rate of 1 the update is the gradient. The rate is 0 afterwards."""
        before = self.model.get_weights()
        self.model.optimizer.learning_rate.assign(1.0)
        loss = self.step()
        after = self.model.get_weights()
        self.model.set_weights(before)
        self.model.optimizer.learning_rate.assign(0.0)
        return loss, [a - b for a, b in zip(before, after, strict=True)]


def recurrent(cell: str, net: Layer, both: bool, masked: bool, x: Tensor, cotangents: Sequence[Tensor]) -> Fit:
    """A layer of Keras as the whole model: output and final states, weighted and summed. Masked: frames of nothing but zeros are none."""
    keras.backend.clear_session()
    inputs = keras.Input(tuple(x.shape[1:]), batch_size=len(x))
    frames = keras.layers.Masking()(inputs) if masked else inputs
    units = net.get_parameter("forward_layers.0.w_h").shape[1]
    model = Weighted(inputs, list(_layer(cell, units, both, states=True)(frames)))
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    model.set_weights(recurrent_weights(cell, dict(net.named_parameters())))
    return Fit(model, x, tuple(each.numpy() for each in cotangents))


def classifier(cell: str, net: Layer, x: Tensor, labels: Tensor) -> Fit:
    """The model of `sections/crnn.py`, its places those of the layers there."""
    keras.backend.clear_session()
    weights = dict(net.named_parameters())
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(tuple(x.shape[1:]), batch_size=len(x)),
            layers.Conv1D(len(weights["layers.0.bias"]), 3, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(len(weights["layers.3.bias"]), 3, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            _layer(cell, weights["layers.6.forward_layers.0.w_h"].shape[1], both=True, states=False),
            layers.GlobalAveragePooling1D(),
            layers.Dense(len(weights["layers.8.bias"])),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.set_weights(classifier_weights(cell, weights))
    return Fit(model, x, labels.numpy())


def conv_lstm(net: Layer, x: Tensor, cotangents: Sequence[Tensor]) -> Fit:
    """`ConvLSTM2D` as the whole model, as `recurrent`."""
    keras.backend.clear_session()
    w_h = net.get_parameter("forward_layers.0.w_h")
    inputs = keras.Input(tuple(x.shape[1:]), batch_size=len(x))
    layer = keras.layers.ConvLSTM2D(w_h.shape[1], w_h.shape[-1], padding="same", return_sequences=True, return_state=True)
    model = Weighted(inputs, list(layer(inputs)))
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    model.set_weights(conv_lstm_weights(dict(net.named_parameters())))
    return Fit(model, x, tuple(each.numpy() for each in cotangents))


def recurrent_weights(cell: str, weights: Mapping[str, Tensor], prefix: str = "", gradients: bool = False) -> Arrays:
    """Ours, or their gradients, in the order and layout of Keras: kernel, recurrent kernel, bias, of the forward direction first."""
    found: Arrays = []
    for place in (f"{prefix}forward_layers.0", f"{prefix}backward_layers.0"):
        if f"{place}.w_x" in weights:
            w_x, w_h, b = (_reordered(cell, weights[f"{place}.{name}"]) for name in ("w_x", "w_h", "b"))
            if f"{place}.b_h" in weights:
                # Keras has a second bias in every gate. Only the candidate's says something new; the gradient of the others is the first's.
                inner = weights[f"{place}.b_h"]
                rest = b[: -len(inner)]
                b = torch.stack([b, torch.cat([rest if gradients else torch.zeros_like(rest), inner])])
            found += [_array(each) for each in (w_x.T, w_h.T, b)]
    return found


def classifier_weights(cell: str, weights: Mapping[str, Tensor], gradients: bool = False) -> Arrays:
    """Likewise of the whole model."""
    convolutions = [_array(weights[f"layers.{place}.{name}"].movedim(0, -1)) for place in (0, 3) for name in ("weight", "bias")]
    kernels = [each.swapaxes(0, 1) if each.ndim == 3 else each for each in convolutions]
    dense = [_array(weights["layers.8.weight"].T), _array(weights["layers.8.bias"])]
    return [*kernels, *recurrent_weights(cell, weights, "layers.6.", gradients), *dense]


def conv_lstm_weights(weights: Mapping[str, Tensor]) -> Arrays:
    """Likewise: kernels `[Y, X, C, G]`."""
    kernels = [_array(weights[f"forward_layers.0.{name}"].permute(2, 3, 1, 0)) for name in ("w_x", "w_h")]
    return [*kernels, _array(weights["forward_layers.0.b"])]


def _layer(cell: str, units: int, both: bool, states: bool) -> Any:
    """A recurrence that answers every frame."""
    options: dict[str, Any] = {"return_sequences": True, "return_state": states}
    match cell:
        case "rnn":
            layer = keras.layers.SimpleRNN(units, **options)
        case "lstm":
            layer = keras.layers.LSTM(units, **options)
        case _:
            layer = keras.layers.GRU(units, reset_after=cell == "gru", **options)
    return keras.layers.Bidirectional(layer) if both else layer


def _reordered(cell: str, gates: Tensor) -> Tensor:
    """The blocks of gates, the first dimension, in Keras's order."""
    order = _ORDER[cell]
    blocks = gates.chunk(len(order))
    return torch.cat([blocks[place] for place in order])


def _array(value: Tensor) -> np.ndarray[Any, Any]:
    return value.detach().numpy()
