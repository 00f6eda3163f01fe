"""What the rows of a source hold, as a few digits: whoever comes back to the data can tell whether they are the same. Knows no file."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from convrnn.data.examples import Source
from convrnn.modality import Sound


def digest(source: Source) -> str:
    """32 hexadecimal digits of inputs, targets and groups of every part, in order; names, notes and channels' names do not count.

    Taken of rows as they were read: what a modality makes of them may differ in its last bits with the number of threads.
    """
    sums = hashlib.blake2b(digest_size=16)
    for part in (source.train, source.valid, source.test):
        if part is None:
            sums.update(b"none")
            continue
        for raw in part.inputs:
            _add(sums, raw)
        for each in (part.targets, part.groups):
            sums.update(repr(None if each is None else [str(value) for value in each]).encode("utf-8", "surrogatepass"))
    return sums.hexdigest()


def _add(sums: Any, raw: Any) -> None:
    """One input, its length before it: no two ways to part the same bytes are alike."""
    if isinstance(raw, str):
        data = raw.encode("utf-8", "surrogatepass")
        sums.update(f"{len(data)}:".encode() + data)
        return
    array = np.asarray(raw.samples if isinstance(raw, Sound) else raw)
    sums.update(f"{raw.rate if isinstance(raw, Sound) else ''}{array.dtype}{array.shape}".encode())
    sums.update(array.tobytes())
