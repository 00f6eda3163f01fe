"""Our LSTM and GRU with the weights of the recipe, gates put from the articles' order into ours. Knows no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from convrnn.layers.base import Layer
from convrnn.layers.recurrent import GRU, LSTM
from tests.articles.by_hand import UNITS, recipe
from tests.articles.everywhere import put

Reset = Literal["before", "after"]


def weights(gates: Sequence[int], signs: Sequence[int] = (), place: str = "forward_layers.0") -> dict[str, list[list[float]]]:
    """The recipe's gates in our order, as our two matrices; a sign of -1 turns a gate round."""
    table = [
        [value.real * sign for value in row] for gate, sign in zip(gates, signs or [1] * len(gates), strict=True) for row in recipe(gate)
    ]
    return {f"{place}.w_h": [row[:UNITS] for row in table], f"{place}.w_x": [row[UNITS:] for row in table]}


def lstm_weights(first: int = 0, place: str = "forward_layers.0") -> dict[str, list[list[float]]]:
    """The articles count f, i, candidate, o; ours stand i f g o. b_f = 1."""
    bias = [[0.0] * UNITS, [1.0] * UNITS, [0.0] * UNITS, [0.0] * UNITS]
    return weights([first + gate for gate in (1, 0, 2, 3)], place=place) | {f"{place}.b": bias}


def our_lstm() -> Layer:
    return put(LSTM(UNITS).build(2), lstm_weights())


def our_gru(reset: Reset) -> Layer:
    """The articles count z, r, candidate and let z replace; ours stand r z n and z keeps, 1 - s(a) = s(-a), so W_z changes its sign."""
    return put(GRU(UNITS, reset=reset).build(2), weights((1, 0, 2), (1, -1, 1)))
