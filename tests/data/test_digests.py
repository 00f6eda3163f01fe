"""A digest is that of the rows: it changes with any of them, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convrnn.data import Examples, Source, digest
from convrnn.modality import Sound

SERIES = Source("set", Examples("series", [np.zeros((2, 1), np.float32), np.ones((3, 1), np.float32)], ["a", "b"], ["f:1", "f:2"]))


def test_any_change_of_rows_changes_it() -> None:
    train = SERIES.train
    changed = [
        replace(SERIES, train=replace(train, targets=["b", "a"])),
        replace(SERIES, train=replace(train, inputs=train.inputs[::-1])),
        replace(SERIES, train=replace(train, groups=["g", "h"])),
        replace(SERIES, train=train.subset([0])),
        replace(SERIES, test=train),
        replace(SERIES, valid=train),
    ]
    assert len({digest(each) for each in (SERIES, *changed)}) == 1 + len(changed)
    assert digest(Source("other", replace(train, names=["x", "y"], notes=("said",)))) == digest(SERIES)


def test_texts_and_recordings() -> None:
    def of(kind: str, *rows: object) -> str:
        return digest(Source("set", Examples(kind, list(rows), None, ["f"] * len(rows))))  # pyright: ignore[reportArgumentType]

    texts = [of("text", "ab", "c"), of("text", "a", "bc"), of("text", "\ud800")]
    sounds = [of("audio", Sound(np.zeros(4, np.float32), rate)) for rate in (8000, 16000)]
    assert len({*texts, *sounds}) == 5
