"""Data: files, folders, tables and arrays -> examples -> parts -> batches. Knows no layer, no task and no training.

`convrnn.data.batch` makes the tensors; it is the only module of this room that needs torch, so import it by its own name.
"""

from convrnn.data.builtin import Builtin, describe, load, names
from convrnn.data.digests import digest
from convrnn.data.examples import RECOGNISE, Columns, Examples, Source
from convrnn.data.memory import from_arrays, is_frame, read_frame
from convrnn.data.sources import read, read_bytes, read_part
from convrnn.data.split import Halves, Parts, by_fraction, by_group, folds, group_folds, last_fraction, parts, shuffled
from convrnn.data.targets import as_task, check_labels, label, labels_of, task_of

__all__ = [
    "RECOGNISE",
    "Builtin",
    "Columns",
    "Examples",
    "Halves",
    "Parts",
    "Source",
    "as_task",
    "by_fraction",
    "by_group",
    "check_labels",
    "describe",
    "digest",
    "folds",
    "from_arrays",
    "group_folds",
    "is_frame",
    "label",
    "labels_of",
    "last_fraction",
    "load",
    "names",
    "parts",
    "read",
    "read_bytes",
    "read_frame",
    "read_part",
    "shuffled",
    "task_of",
]
