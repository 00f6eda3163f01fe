"""Recordings whose names say what they are: `{label}_{index}.wav`, `{label}_{speaker}_{index}.wav`; and the split of the one set that
fixes it by its names. Knows no sound.

The Free Spoken Digit Dataset (Jackson et al., github.com/Jakobovski/free-spoken-digit-dataset) calls its files
`{digit}_{speaker}_{index}.wav` and makes those of index 0 to 4 the test part.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from convrnn.core.language import tr

_NAME = re.compile(r"(?P<label>[^_]+?)(?:_(?P<speaker>[^_]+))?_(?P<index>\d+)\.\w+")

TEST, VALID = range(0, 5), range(5, 10)
"""Indices of the parts of the spoken digits. The test part is that of its authors; who learns needs a part to watch as well."""


class Named(NamedTuple):
    """What the names of files say.

    Attributes:
        labels: one a file.
        parts: the file numbers of `train` and, where the names fix them, `valid` and `test`.
        said: how they were read, for the user.
    """

    labels: list[str]
    parts: dict[str, list[int]]
    said: str


def read_names(name: str, files: Sequence[str]) -> Named | None:
    """What the names of files say, or None: every name has to be of that form, and labels have to come back.

    Args:
        name: of the folder.
        files: names, without folders.
    """
    found = [_NAME.fullmatch(file) for file in files]
    if not files or not all(found):
        return None
    matches = [match for match in found if match]
    labels = [match["label"] for match in matches]
    counts = Counter(labels)
    if len(counts) < 2 or min(counts.values()) < 2:
        return None
    indices = [int(match["index"]) for match in matches]
    if _spoken_digits(matches, counts):
        parts: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
        for row, index in enumerate(indices):
            parts["test" if index in TEST else "valid" if index in VALID else "train"].append(row)
        said = tr(
            "{name}: named as the Free Spoken Digit Dataset is, digit_speaker_index: 0 to 4 of each digit and speaker are the test part, as"
            " its authors have it, and 5 to 9 are to watch",
            name=name,
        )
        return Named(labels, parts, said)
    listing = ", ".join(list(counts)[:8]) + (", …" if len(counts) > 8 else "")
    said = tr("{name}: labels are what the names begin with, up to the first _: {labels}", name=name, labels=listing)
    return Named(labels, {"train": list(range(len(files)))}, said)


def _spoken_digits(matches: Sequence[re.Match[str]], counts: Counter[str]) -> bool:
    """All ten digits, from the same speakers, each with the indices of all three parts."""
    if set(counts) != set("0123456789") or not all(match["speaker"] for match in matches):
        return False
    indices: dict[tuple[str, str], set[int]] = {}
    for match in matches:
        indices.setdefault((match["label"], match["speaker"]), set()).add(int(match["index"]))
    speakers = {speaker for _, speaker in indices}
    wanted = {*TEST, *VALID, VALID.stop}
    return len(indices) == 10 * len(speakers) and all(wanted <= found for found in indices.values())
