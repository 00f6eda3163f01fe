"""`convrnn predict`."""

from __future__ import annotations

import json as json_text
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from convrnn.cli import console
from convrnn.cli.options import Json, Run, SameEncoding, require_file_place
from convrnn.core.language import tr

NAME = "predict"


def run(
    folder: Run,
    file: Annotated[str, typer.Argument(help="Rows in the layout of the training data; - reads standard input.")],
    out: Annotated[Path | None, typer.Option(help="Write a file instead of printing: .jsonl, .csv, .tsv.")] = None,
    encoding: SameEncoding = None,
    json: Json = False,
) -> None:
    """Answer for every row: a label with probability, or a number."""
    from convrnn.api import runs
    from convrnn.api.folder import RECORDS
    from convrnn.core.errors import UsageError
    from convrnn.deploy import load

    if out is not None and out.suffix not in _WRITERS:
        raise UsageError("--out", tr("expected a name that ends in {names}, got {got}", names=", ".join(_WRITERS), got=out))
    if out is not None:
        require_file_place("--out", out)
        if out.exists() and Path(file).exists() and out.samefile(file):
            raise UsageError("--out", tr("{path} is the file that is read", path=out), tr("choose another"))
        if any(out.exists() and (record := folder / name).exists() and out.samefile(record) for name in RECORDS):
            raise UsageError("--out", tr("{path} is a record of the run", path=out), tr("choose another"))
    model = load(folder)
    data = sys.stdin.buffer.read() if file == "-" else file
    examples, answers = runs.predict_named(model, data, encoding=encoding, say=console.aside)
    rows = [{"name": name, **answer} for name, answer in zip(examples.names, answers, strict=True)]
    if out is not None:
        from convrnn.core.files import write

        write(out, _WRITERS[out.suffix](rows))
        if json:
            console.as_json({"out": str(out), "rows": len(rows)})
        else:
            console.aside(tr("{count} answers in {out}", count=len(rows), out=out))
    elif json:
        console.as_json({"predictions": rows})
    else:
        console.as_json_lines(rows)


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json_text.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _separated(delimiter: str) -> Any:
    def write(rows: list[dict[str, Any]]) -> str:
        import csv
        import io

        text = io.StringIO()
        names = [name for name in rows[0] if name != "probabilities"] if rows else ["name"]
        writer = csv.DictWriter(text, names, delimiter=delimiter, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    return write


_WRITERS: dict[str, Any] = {".jsonl": _lines, ".csv": _separated(","), ".tsv": _separated("\t")}
