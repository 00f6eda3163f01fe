"""Plain lines of text -> tables: `LABEL the sentence`, fastText's `__label__LABEL`, or text alone. Knows no other layout."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.data.opening import lines
from convrnn.data.tables import Table, is_number

_FASTTEXT = "__label__"
_LABEL = re.compile(r"\S+\s+\S")


def has_labels(text: str) -> bool:
    """Whether lines begin with labels: each has a word before its text, and the first words are few (one to ten lines, or two)."""
    found = [line for _, line in lines(text)]
    if not all(_LABEL.match(line.lstrip()) for line in found):
        return False
    first = [line.split(maxsplit=1)[0] for line in found]
    if all(word.startswith(_FASTTEXT) for word in first):
        return True
    return len(set(first)) <= max(2, len(found) // 10) and len(set(first)) * 2 <= len(found) and not _is_running_text(first)


def begins_with(text: str, labels: Collection[str]) -> bool:
    """Whether each line begins with one of these labels."""
    return all(line.split(maxsplit=1)[0].removeprefix(_FASTTEXT) in labels for _, line in lines(text))


def labelled_table(name: str, text: str, notes: tuple[str, ...] = (), hierarchy: bool = False) -> Table:
    """The columns `label` and `text`; labels all of the form COARSE:fine give the columns `coarse` and `fine` too.

    Args:
        name: of the file.
        text: its lines.
        notes: to hand on.
        hierarchy: give `coarse` and `fine` in any case, since another part has them.

    Raises:
        DataError: a line without text after its label.
    """
    numbered = list(lines(text))
    labels: list[str] = []
    texts: list[str] = []
    for number, line in numbered:
        label, *rest = line.split(maxsplit=1)
        if not rest:
            raise DataError(
                f"{name}:{number}",
                tr("expected a label and a text, got {got!r}", got=line.strip()),
                tr("write LABEL, a blank and the text on each line"),
            )
        labels.append(label.removeprefix(_FASTTEXT))
        texts.append(rest[0].strip())
    columns: dict[str, Sequence[str]] = {"label": labels, "text": texts}
    said = (tr("{name}: each line is a label and a text", name=name),)
    if hierarchy or is_hierarchy(labels):
        columns |= {"coarse": [label.partition(":")[0] for label in labels], "fine": [label.partition(":")[2] for label in labels]}
    return Table(name, tuple(columns), tuple(columns.values()), [number for number, _ in numbered], True, (*notes, *said))


def text_table(name: str, text: str, notes: tuple[str, ...] = ()) -> Table:
    """The one column `text`, a line a row."""
    numbered = list(lines(text))
    return Table(name, ("text",), ([line.strip() for _, line in numbered],), [number for number, _ in numbered], True, notes)


def is_hierarchy(labels: Collection[str]) -> bool:
    """Whether labels are pairs COARSE:fine, with at least two coarse ones of which one has at least two fine ones."""
    distinct = set(labels)
    if not all(re.fullmatch(r"[^:\s]+:[^:\s]+", label) for label in distinct):
        return False
    coarse = {label.partition(":")[0] for label in distinct}
    return 2 <= len(coarse) < len(distinct)


def _is_running_text(first: Sequence[str]) -> bool:
    """Whether first words look like the beginnings of sentences: some occur capitalised that stand in ordinary text (The, What, 我)."""
    ordinary = {"the", "a", "an", "i", "it", "this", "what", "how", "who", "in", "on", "we", "you", "he", "she", "is", "if"}
    return any(word.lower() in ordinary for word in set(first)) and not all(map(is_number, first))
