"""The layer of torch.nn that computes what one of ours does, with its weights. Knows no timing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import nn

from convrnn.core.seq import Ids
from convrnn.layers.base import Layer, Spec
from convrnn.layers.recurrent import GRU, LSTM, RNN


def torch_twin(net: Layer) -> nn.RNNBase | None:
    """A recurrence of torch.nn, batch first, that gives the same outputs; None: torch has none for it."""
    twin = None if isinstance(net.in_shape, Ids) else _made(net.made_from, net.in_shape[-1])
    if twin is None:
        return None
    weights = dict(net.named_parameters())
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(_weight(name, weights, parameter))
    return twin


def _made(spec: Spec | None, channels: int) -> nn.RNNBase | None:
    """With weights of its own."""
    match spec:
        case RNN() if _plain(spec):
            return nn.RNN(channels, spec.features, spec.layers, spec.nonlinearity, batch_first=True, bidirectional=spec.bidirectional)
        case LSTM() if _plain(spec):
            return nn.LSTM(channels, spec.features, spec.layers, batch_first=True, bidirectional=spec.bidirectional)
        case GRU() if _plain(spec):
            return nn.GRU(channels, spec.features, spec.layers, batch_first=True, bidirectional=spec.bidirectional)
        case _:
            return None


def _plain(spec: RNN | LSTM | GRU) -> bool:
    """Whether it asks for nothing that torch does not have: sizes apart, and how weights begin, every field is at its default."""
    free = ("features", "layers", "bidirectional", "nonlinearity", "init", "recurrent_init", "forget_bias")
    return all(getattr(spec, each.name) == each.default for each in fields(spec) if each.name not in free)


def _weight(name: str, weights: Mapping[str, torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """Ours for torch's `weight_ih_l0_reverse` and so on. Torch's second bias only adds to the first, except in a GRU's candidate."""
    kind, _, place = name.removesuffix("_reverse").rpartition("_l")
    ours = f"{'backward' if name.endswith('_reverse') else 'forward'}_layers.{place}."
    if kind != "bias_hh":
        return weights[ours + {"weight_ih": "w_x", "weight_hh": "w_h", "bias_ih": "b"}[kind]]
    bias = torch.zeros_like(like)
    if ours + "b_h" in weights:
        inner = weights[ours + "b_h"]
        bias[-len(inner) :] = inner
    return bias
