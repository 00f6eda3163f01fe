"""A command that takes nothing silently: neither an option given twice nor the message of an interruption is lost. Knows no verb."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from convrnn.core.errors import UsageError
from convrnn.core.language import tr


class Verb(TyperCommand):
    """See the top of the file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses what was typed after the verb.

        Raises:
            UsageError: an option that may be there once is there twice.
        """
        ctx.meta[TYPED] = [self.name or "", *args]
        seen: set[str] = set()
        for parameter in self.make_parser(ctx).parse_args(args=list(args))[2]:
            if parameter.name in seen and not parameter.multiple:
                raise UsageError(parameter.opts[0], tr("is given twice"), tr("give it once"))
            seen.add(parameter.name or "")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb.

        Raises:
            Stopped: Ctrl-C; typer would turn a KeyboardInterrupt into an exit status and drop how to go on.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(str(error) or "interrupted") from error


class Stopped(Exception):
    """Ctrl-C, and what to say about it."""


TYPED = "typed"
"""Where a context keeps the verb and what was typed after it."""
