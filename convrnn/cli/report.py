"""`convrnn report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convrnn.cli import console
from convrnn.cli.options import Json

NAME = "report"


def run(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A folder that `convrnn train` or `convrnn compare` wrote, also while it trains.")
    ],
    json: Json = False,
) -> None:
    """Draw the report of a run or study again: report.html and plots."""
    from convrnn.report import is_study, render, render_study

    page = render_study(folder) if is_study(folder) else render(folder)
    if json:
        console.as_json({"report": str(page), "plots": sorted(str(plot) for plot in (folder / "plots").glob("*.png"))})
    else:
        console.line(str(page))
