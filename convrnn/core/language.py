"""The language of what people read, English or Chinese, and the one catalogue of messages. Knows no message's place.

The English template is the key: `tr("{count} rows were left out", count=3)`. `zh.json` beside this file has the same template in Chinese,
with the same names in braces; a test reads the source for every `tr` and holds the catalogue against what it finds, so a key that is
missing is a red test and never a sentence in the wrong language. What a machine reads (JSON, YAML, names of columns, layers and options)
is never translated.
"""

from __future__ import annotations

import json
import locale
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from typing import Literal, cast, get_args

Language = Literal["en", "zh"]

LANGUAGES: tuple[Language, ...] = get_args(Language)

_spoken: ContextVar[Language] = ContextVar("language", default="en")


def spoken() -> Language:
    """The language of this context; English until `speaking` says otherwise."""
    return _spoken.get()


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Everything within is said in this language."""
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def tr(template: str, /, **values: object) -> str:
    """A message in the language of this context.

    Args:
        template: the English text, a literal, as in `str.format`.
        values: what stands in its braces.

    Example:
        >>> tr("{count} rows", count=3)
        '3 rows'
    """
    chosen = template if spoken() == "en" else catalogue()[template]
    return chosen.format(**values)


@cache
def catalogue() -> Mapping[str, str]:
    """English template -> Chinese template."""
    return json.loads(files("convrnn.core").joinpath("zh.json").read_text(encoding="utf-8"))


def of_locale() -> Language:
    """The language that the environment asks for: Chinese where its locale is, else English."""
    named = next((os.environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(key)), None)
    found = named or locale.getlocale()[0] or "en"
    return cast(Language, "zh" if found.lower().startswith(("zh", "chinese")) else "en")
