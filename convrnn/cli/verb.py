"""A command that takes nothing silently: an option given twice is an error, not the last one's victory. Knows no verb."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from convrnn.core.errors import UsageError


class Verb(TyperCommand):
    """See the top of the file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses what was typed after the verb.

        Raises:
            UsageError: an option that takes one value is there twice.
        """
        ctx.meta[TYPED] = [self.name or "", *args]
        seen: set[str] = set()
        for parameter in self.make_parser(ctx).parse_args(args=list(args))[2]:
            if parameter.name in seen and not (parameter.multiple or parameter.is_flag):
                raise UsageError(parameter.opts[0], "is given twice", "give it once")
            seen.add(parameter.name or "")
        return super().parse_args(ctx, args)


TYPED = "typed"
"""Where a context keeps the verb and what was typed after it."""
