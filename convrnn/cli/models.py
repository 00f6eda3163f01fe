"""`convrnn models`."""

from __future__ import annotations

from typing import Annotated

import typer

from convrnn.cli import console
from convrnn.cli.options import Json
from convrnn.core.language import declared, tr

NAME = "models"


def run(
    name: Annotated[str | None, typer.Argument(help="Show one model in full.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """List the models, or show one with its options and papers."""
    from convrnn import zoo

    if name is None:
        entries = [zoo.get(each) for each in zoo.names()]
        if json:
            console.as_json({"models": [{"name": entry.name, "line": entry.line, "kinds": list(entry.kinds)} for entry in entries]})
            return
        for text in console.table(
            [tr("model"), tr("for"), tr("what it is")], [[e.name, ", ".join(e.kinds), declared(e.line)] for e in entries]
        ):
            console.line(text)
        return
    entry = zoo.get(name)
    options = [{"name": o.name, "default": o.default, "meaning": o.meaning} for o in entry.options.values()]
    if json:
        about = {"name": entry.name, "about": entry.about, "kinds": list(entry.kinds), "options": options, "version": entry.version}
        console.as_json({**about, "papers": [str(paper) for paper in entry.papers], "settings": dict(entry.settings)})
        return
    console.line(tr("{name} (version {version}), for {kinds}", name=entry.name, version=entry.version, kinds=", ".join(entry.kinds)))
    for paragraph in declared(entry.about).split("\n\n"):
        console.paragraph(paragraph)
    if options:
        console.line("\n" + tr("options (--set KEY=VALUE):"))
        rows = [
            [f"  {o['name']}", tr("by the data") if o["default"] is None else str(o["default"]), declared(str(o["meaning"]))]
            for o in options
        ]
        for text in console.table([f"  {tr('key')}", tr("default"), tr("meaning")], rows):
            console.line(text)
    if entry.papers:
        console.line("\n" + tr("papers:"))
        for paper in entry.papers:
            console.line(f"  {paper}")
