"""`convrnn export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convrnn.cli import console
from convrnn.cli.options import Json, Run, require_file_place
from convrnn.core.language import tr

NAME = "export"


def run(
    folder: Run,
    form: Annotated[
        str, typer.Option("--format", help="onnx: whole rows; onnx-step: some frames and the state; pt2: whole rows for torch.")
    ] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The file; by default model.onnx, model-step.onnx or model.pt2 in the run.")] = None,
    json: Json = False,
) -> None:
    """Write a model as one file for other programs, and check it.

    The file is run against the model at many sizes; one that differs is not left behind.
    """
    from convrnn.core.errors import UsageError
    from convrnn.deploy import load
    from convrnn.deploy.export import find_format

    if out is not None:
        require_file_place("--out", out)
    path = folder / find_format(form).file if out is None else out
    if not _is_utf8(path):
        raise UsageError(
            "--out",
            tr("{path} is no name in UTF-8, as other programs need it", path=path),
            tr("write the file elsewhere: --out model.onnx"),
        )
    found = load(folder).export(form, path)
    if json:
        console.as_json({**found._asdict(), "path": str(found.path)})
        return
    states = sum(name.startswith("state.") for name in found.inputs)
    inputs = [name for name in found.inputs if not name.startswith("state.")] + ([tr("{count} states", count=states)] if states else [])
    outputs = [name for name in found.outputs if not name.startswith("next.")] + ([tr("{count} states", count=states)] if states else [])
    console.told(
        tr(
            "{path}: {bytes:,} bytes, {inputs} -> {outputs}; largest difference from the model {difference:.1e} of the largest number",
            path=found.path,
            bytes=found.bytes,
            inputs=", ".join(inputs),
            outputs=", ".join(outputs),
            difference=found.difference,
        )
    )


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
