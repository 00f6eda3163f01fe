"""What the tests of modalities share: a part of a data set, as the room `data` would give it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Part:
    """The least that `modality.Examples` asks for."""

    inputs: Sequence[Any]
    names: Sequence[str]
    channels: tuple[str, ...] = ()


MakePart = Callable[..., Part]


@pytest.fixture
def part() -> MakePart:
    """Makes a part whose rows are called `rows.csv:2`, `rows.csv:3`, ..."""

    def make(inputs: Sequence[Any], channels: tuple[str, ...] = ()) -> Part:
        return Part(inputs, [f"rows.csv:{row + 2}" for row in range(len(inputs))], channels)

    return make
