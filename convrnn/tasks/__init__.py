"""Tasks: head + loss + decoding + metrics. Importing the package enters every task in the registry. Knows no data, modality or training."""

from convrnn.tasks.base import Task, answers
from convrnn.tasks.classify import Classify
from convrnn.tasks.regress import Regress

__all__ = ["Classify", "Regress", "Task", "answers"]
