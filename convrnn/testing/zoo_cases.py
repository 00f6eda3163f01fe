"""Every zoo entry, narrow, on every kind of data it takes, as cases for the law suite. Knows no law."""

from __future__ import annotations

from collections.abc import Iterator

from convrnn.core.seq import Ids
from convrnn.layers.base import Layer, Spec
from convrnn.layers.combine import Serial
from convrnn.testing.cases import BACKWARD, FIXED, STATISTICS, SYMBOLS, WEIGHED
from convrnn.testing.laws import Case
from convrnn.zoo.base import Entry, Fingerprint, get, names

# Lengths of the rows that a case runs on are those of its fingerprint: short ones and an empty one belong in.
_DATA: dict[str, Fingerprint] = {
    "series": Fingerprint("series", (3,), 4, 200, (0, 5, 11)),
    "long": Fingerprint("series", (1,), 2, 200, (0, 60, 90)),
    "text": Fingerprint("text", Ids(7), 2, 200, (0, 5, 9)),
    "image": Fingerprint("image", (6, 2), 3, 200, (0, 5, 17)),
    "picture": Fingerprint("image", (10, 1), 10, 200, (10, 10, 10)),
}

_NARROW = {"width": 4, "maps": 3, "embedding": 4, "units": 3}
"""Options that make a net small: the laws are about structure."""


_DEEP = 3
"""Blocks of a net that has more by default: they are all alike."""

_OPENING = ("embedding", "fold", "drop")
"""What turns text and images into frames; the laws hold of each of these alone, and of what follows whatever it was."""


def zoo_cases() -> tuple[Case, ...]:
    """The cases `zoo-NAME-DATA`, in order of the names."""
    return tuple(case for name in names() for case in _cases_of(get(name)))


def _cases_of(entry: Entry) -> Iterator[Case]:
    """One case for each kind of data, unless it differs from an earlier one by its first layers only."""
    narrow = {option: value for option, value in _NARROW.items() if option in entry.options}
    if "depth" in entry.options and int(entry.options["depth"].default or 0) > _DEEP:
        narrow["depth"] = _DEEP
    seen: list[tuple[Spec, ...]] = []
    for label, data in _DATA.items():
        # Pictures of one size are for entries that need them; the others have shown what they do on unequal ones.
        if data.kind not in entry.kinds or (label == "picture") != (entry.name == "mnist-cnn"):
            continue
        spec = entry.spec(data, **narrow)
        assert isinstance(spec, Serial), spec
        kept = tuple(layer for layer in spec.layers if layer.name not in _OPENING)
        if kept in seen:
            continue
        seen.append(kept)
        lengths = (data.lengths[2], data.lengths[0], data.lengths[1], max(1, data.lengths[0]))
        yield Case(f"zoo-{entry.name}-{label}", spec, data.in_shape, lengths, _exempt(spec.build(data.in_shape)))


def _exempt(net: Layer) -> dict[str, str]:
    """What the layers in it are exempt from."""
    inside = {layer.name for _, layer in net.walk()}
    return {
        **(STATISTICS if "batch_norm" in inside else {}),
        **(FIXED if "flatten" in inside else {}),
        **(SYMBOLS if isinstance(net.in_shape, Ids) else {}),
        **({} if net.streams else WEIGHED if "squeeze_excite" in inside else BACKWARD),
    }
