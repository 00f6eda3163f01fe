"""The language of what people read, English or Chinese, and the one catalogue of messages. Knows no message's place.

The English template is the key: `tr("{count} rows were left out", count=3)`. `zh.json` beside this file has the same template in Chinese,
with the same names in braces; a test reads the source for every `tr` and holds the catalogue against what it finds, so a key that is
missing is a red test and, for the user, an English sentence. What a machine reads (JSON, YAML, names of columns, layers and options) is
never translated: a `Message` remembers its template, and `english` gives it back for files. See docs/decisions/0017-language.md.
"""

from __future__ import annotations

import json
import locale
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.resources import files
from string import Formatter
from typing import Any, Literal, Self, cast, get_args

Language = Literal["en", "zh"]

LANGUAGES: tuple[Language, ...] = get_args(Language)

VARIABLE = "CONVRNN_LANG"
"""The environment variable that hands the language on to threads and processes."""

_spoken: ContextVar[Language | None] = ContextVar("language", default=None)


def spoken() -> Language:
    """The language of this context; where `speaking` said nothing that of the process; else English."""
    return _spoken.get() or ("zh" if os.environ.get(VARIABLE) == "zh" else "en")


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Everything within is said in this language: errors, lines, reports; JSON and the records of a run stay as they are.

    Holds for this thread and its tasks, so that a server may speak both at once; other threads and processes follow `CONVRNN_LANG`.

    Args:
        language: `en` or `zh`.

    Raises:
        ValueError: another language.

    Example:
        >>> with speaking("zh"):
        ...     print(tr("{count} classes", count=3))
        3 个类别
    """
    if language not in LANGUAGES:
        raise ValueError(f"language: expected {' or '.join(LANGUAGES)}, got {language!r}")
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


@contextmanager
def speaking_everywhere(language: Language) -> Iterator[None]:
    """As `speaking`, in every thread of this process too, and in the processes that it starts: for a command line."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = language
    try:
        with speaking(language):
            yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def of_locale() -> Language:
    """The language that the environment asks for: Chinese where `CONVRNN_LANG` or the locale is, else English."""
    named = next((os.environ[key] for key in (VARIABLE, "LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(key)), None)
    found = named or locale.getlocale()[0] or "en"
    return cast(Language, "zh" if found.lower().startswith(("zh", "chinese")) else "en")


class Message(str):
    """Text in the language in which it was made, that can be said again in the other one. Joined to other text it is text.

    Attributes:
        template: the English text with its braces: the key of the catalogue.
        parts: what stands in the braces, as text; a message within a message is translated with it.
    """

    template: str
    parts: Mapping[str, str]

    def __new__(cls, template: str, parts: Mapping[str, str]) -> Self:
        chosen = template if spoken() == "en" else catalogue().get(template, template)
        now = {name: said(part) for name, part in parts.items()}
        self = super().__new__(cls, "".join(text + ("" if name is None else now[name]) for text, name, *_ in _pieces(chosen)))
        self.template, self.parts = template, parts
        return self

    def __getnewargs__(self) -> tuple[str, Mapping[str, str]]:  # pyright: ignore[reportIncompatibleMethodOverride]  (str has its own)
        return self.template, self.parts

    def record(self) -> dict[str, Any]:
        """As JSON holds it; `from_record` reads it."""
        return {
            "template": self.template,
            "parts": {name: part.record() if isinstance(part, Message) else part for name, part in self.parts.items()},
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The message of a record, in the language of this context.

        Raises:
            ValueError: no record of a message.
        """
        template, parts = record.get("template"), record.get("parts")
        if not isinstance(template, str) or not isinstance(parts, Mapping):
            raise ValueError(f"expected a template and its parts, got {record!r}")
        read = {str(name): cls.from_record(part) if isinstance(part, Mapping) else str(part) for name, part in parts.items()}
        lacking = [name for _, name, *_ in _pieces(template) if name is not None and name not in read]
        if lacking:
            raise ValueError(f"expected a part {lacking[0]!r}, got {', '.join(read) or 'none'}")
        return cls(template, read)


def tr(template: str, /, **values: object) -> Message:
    """A message in the language of this context.

    Args:
        template: the English text, a literal, as in `str.format`; plain names in its braces, with `!r` or a format if need be.
        values: what stands in its braces.

    Example:
        >>> tr("{count} rows", count=3)
        '3 rows'
    """
    return Message(template, {name: _text(values[name], how, form) for _, name, form, how in _pieces(template) if name is not None})


def said(text: str) -> str:
    """A message in the language of this context, whatever it was made in; other text as it is."""
    return Message(text.template, text.parts) if isinstance(text, Message) else text


def declared(text: str) -> str:
    """A text that is declared away from here (the docstring of a model, the help of an option), each paragraph that the catalogue has."""
    return text if spoken() == "en" else "\n\n".join(catalogue().get(paragraph, paragraph) for paragraph in text.split("\n\n"))


def english(value: Any) -> Any:
    """A value as files and JSON hold it: messages in English, within dictionaries and lists too."""
    if isinstance(value, Message):
        with speaking("en"):
            return str(said(value))
    if isinstance(value, Mapping):
        return {key: english(item) for key, item in value.items()}
    return [english(item) for item in value] if isinstance(value, list | tuple) else value


def listed(parts: Iterable[str]) -> str:
    """Parts of a sentence with commas between them; empty ones are left out."""
    told, *others = filter(None, parts)
    for part in others:
        told = tr("{first}, {rest}", first=told, rest=part)
    return told


def joined(parts: Iterable[str]) -> str:
    """Sentences with semicolons between them; empty ones are left out."""
    told, *others = filter(None, parts)
    for part in others:
        told = tr("{first}; {rest}", first=told, rest=part)
    return told


def both(names: Sequence[str]) -> str:
    """Names with `and` before the last."""
    return names[0] if len(names) == 1 else tr("{first} and {last}", first=", ".join(names[:-1]), last=names[-1])


def either(names: Sequence[str]) -> str:
    """Names with `or` before the last."""
    return names[0] if len(names) == 1 else tr("{first} or {last}", first=", ".join(names[:-1]), last=names[-1])


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, str]:
    """English template -> Chinese template."""
    return json.loads(files("convrnn.core").joinpath("zh.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=4096)
def _pieces(template: str) -> tuple[tuple[str, str | None, str | None, str | None], ...]:
    """Text, the name behind it, its format and its conversion, piece by piece."""
    return tuple(Formatter().parse(template))


def _text(value: object, how: str | None, form: str | None) -> str:
    """What stands in the place of a name in braces; a message stays one."""
    if isinstance(value, Message) and not how and not form:
        return value
    return format(Formatter().convert_field(value, how), form or "")
