"""A command that takes nothing silently, and speaks the language asked for. Knows no verb.

An option given twice and a value without a letter are refused, and its help is in Chinese where that is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from convrnn.cli import helping
from convrnn.core.errors import UsageError
from convrnn.core.language import LANGUAGES, Language, of_locale, spoken, tr

Lang = Annotated[str | None, typer.Option("--lang", metavar="|".join(LANGUAGES), help="Language of what is printed; by the locale.")]


class Verb(TyperCommand):
    """See the top of the file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses what was typed after the verb.

        Raises:
            UsageError: an option that may be there once is there twice, or a value is empty (as a path: the current folder).
        """
        ctx.meta[TYPED] = [self.name or "", *args]
        seen: set[str] = set()
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in order:
            value = given.get(parameter.name or "")
            if "" in (value if isinstance(value, list | tuple) else (value,)):
                raise UsageError(shown(parameter), tr("is empty"), tr("give a value, or leave it out"))
            if parameter.name in seen and not parameter.multiple:
                raise UsageError(shown(parameter), tr("is given twice"), tr("give it once"))
            seen.add(parameter.name or "")
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """What `--help` prints."""
        return super().get_help(ctx) if spoken() == "en" else helping.of_verb(self, ctx)


class Verbs(TyperGroup):
    """All verbs."""

    def get_help(self, ctx: Any) -> str:
        """What `--help` prints."""
        return super().get_help(ctx) if spoken() == "en" else helping.of_verbs(self, ctx)


def shown(parameter: Any) -> str:
    """What an option or argument is called in an error."""
    return parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar or (parameter.name or "").upper()


TYPED = "typed"
"""Where a context keeps the verb and what was typed after it."""


def with_language(run: Callable[..., None]) -> Callable[..., None]:
    """A verb with `--lang` behind its other options. `asked` has read it before: here it is only parsed, and told of by `--help`."""

    @wraps(run)
    def spoken_run(*args: Any, lang: Lang = None, **options: Any) -> None:
        run(*args, **options)

    own = inspect.signature(run, eval_str=True)
    option = inspect.Parameter("lang", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Lang)
    spoken_run.__signature__ = own.replace(parameters=[*own.parameters.values(), option])  # pyright: ignore[reportAttributeAccessIssue]
    spoken_run.__annotations__ = {**run.__annotations__, "lang": Lang}
    return spoken_run


def asked(arguments: Sequence[str]) -> Language:
    """The language of a command line: `--lang` wherever it stands, else that of the locale. Errors of parsing are told in it too.

    Raises:
        UsageError: another language.
    """
    typed = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    values = [value for name, value in pairwise(typed) if name == "--lang"]
    values += [each.partition("=")[2] for each in typed if each.startswith("--lang=")]
    for language in LANGUAGES:
        if values and values[0] == language:
            return language
    if values:
        raise UsageError("--lang", tr("expected en or zh, got {got!r}", got=values[0]))
    return of_locale()
