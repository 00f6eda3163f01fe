"""What a check of pydantic wanted, in the words of this package. Knows pydantic's kinds of error; no spec and no field."""

from __future__ import annotations

import re
from typing import Any

from convrnn.core.language import tr

_BEFORE = re.compile(r"^Input should be (a valid |an instance of )?")


def wanted_by(error: Any) -> str:
    """What would have been right.

    Args:
        error: one of `ValidationError.errors()`; a kind that is not known here keeps pydantic's words.
    """
    text = _BEFORE.sub("", error["msg"])
    bound = text.rpartition(" ")[2]
    match error["type"]:
        case "greater_than":
            return tr("a value greater than {bound}", bound=bound)
        case "greater_than_equal":
            return tr("a value greater than or equal to {bound}", bound=bound)
        case "less_than":
            return tr("a value less than {bound}", bound=bound)
        case "less_than_equal":
            return tr("a value less than or equal to {bound}", bound=bound)
        case "int_type":
            return tr("integer")
        case "float_type":
            return tr("number")
        case "string_type":
            return tr("string")
        case "bool_type":
            return tr("boolean")
        case "tuple_type":
            return tr("tuple")
        case "none_required":
            return tr("None")
        case _:
            return text
