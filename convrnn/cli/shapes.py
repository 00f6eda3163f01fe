"""The shape of a frame as people type it. Knows no verb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convrnn.core.language import tr

if TYPE_CHECKING:
    from convrnn.core.seq import Ids, Shape


def shape(text: str) -> Shape | Ids:
    """`12`, `28,1`, `32,32,3`: channels behind their space; `ids:5000`: symbols.

    Raises:
        UsageError: none of these, or a size below 1.
    """
    from convrnn.core.errors import UsageError
    from convrnn.core.seq import Ids

    kind, colon, number = text.partition(":")
    try:
        found = Ids(int(number)) if colon and kind == "ids" else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError("--shape", tr("expected channels, H,C or ids:N, got {got!r}", got=text)) from None
    if min(found) < 1:
        raise UsageError("--shape", tr("expected sizes of at least 1, got {got!r}", got=text), tr("for example --shape 12"))
    return found
