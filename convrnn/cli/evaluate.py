"""`convrnn evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from convrnn.cli import console
from convrnn.cli.options import Json, Run, SameEncoding
from convrnn.core.numerals import figure
from convrnn.core.terms import called

NAME = "evaluate"


def run(
    folder: Run,
    data: Annotated[str, typer.Argument(help="Labelled rows, in the layout of the training data.")],
    target: Annotated[str | None, typer.Option(help="Target column, if it has another name here.")] = None,
    encoding: SameEncoding = None,
    json: Json = False,
) -> None:
    """Measure a trained model on labelled rows."""
    from convrnn.api import runs

    metrics = runs.evaluate(folder, data, target=target, encoding=encoding, say=console.aside)
    if json:
        console.as_json(metrics)
        return
    for text in console.table([called(name) for name in metrics], [list(map(figure, metrics.values()))], right=range(len(metrics))):
        console.line(text)
