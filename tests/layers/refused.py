"""What every mistake is held to: its own error, in one line that a terminal has room for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convrnn.core.errors import InputError


def refused(make: Callable[[], object], kind: type[InputError], message: str) -> None:
    with pytest.raises(InputError) as raised:
        make()
    assert type(raised.value) is kind
    assert str(raised.value) == message
    assert "\n" not in message and len(message) < 200
