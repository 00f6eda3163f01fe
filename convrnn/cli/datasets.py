"""`convrnn datasets`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from convrnn.cli import console
from convrnn.cli.options import Json
from convrnn.core.language import declared, tr
from convrnn.core.terms import sort_named

NAME = "datasets"


def run(
    name: Annotated[str | None, typer.Argument(help="Show one set in full.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """List the built-in data, or show one set in full."""
    from convrnn.data import builtin

    if name is None:
        found = [builtin.describe(each) for each in builtin.names()]
        if json:
            console.as_json({"datasets": [_facts(each) for each in found]})
            return
        for text in console.table(
            [tr("name"), tr("kind"), tr("task"), tr("what it is")],
            [[b.name, sort_named(b.kind), sort_named(b.task), declared(b.description)] for b in found],
        ):
            console.line(text)
        return
    facts = _facts(builtin.describe(name))
    if json:
        console.as_json(facts)
        return
    for key, value in facts.items():
        console.line(f"{key:8}  {declared(str(value))}")


def _facts(entry: object) -> dict[str, object]:
    return {key: value for key, value in asdict(entry).items() if not callable(value)}  # pyright: ignore[reportArgumentType]
