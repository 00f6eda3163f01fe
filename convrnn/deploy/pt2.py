"""Files of `torch.export`: a graph that torch runs without the code of the layers. Knows no layer.

Recurrences stay calls of the operators that `convrnn.kernels` registers: whoever loads the file imports that first.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from convrnn.core.errors import JobError
from convrnn.core.language import tr
from convrnn.deploy.check import Run
from convrnn.deploy.graphs import Graph, unspecialised


def program(graph: Graph, where: str) -> torch.export.ExportedProgram:
    """What `torch.export` makes of a graph, with dynamic batch and time.

    Raises:
        JobError: torch cannot export this net; names `where`.
    """
    any_size = torch.export.Dim.DYNAMIC
    with torch.no_grad(), unspecialised():
        try:
            return torch.export.export(graph, graph.sample(), dynamic_shapes=graph.shapes(any_size, any_size))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise JobError(where, tr("torch.export cannot export this net: {reason}", reason=reason), tr("please report it")) from error


def runs(exported: torch.export.ExportedProgram) -> Run:
    """The program as a function of named tensors.

    Without torch's guards, which refuse sizes unlike the traced one (`T >= 3` before a kernel of 3, a batch of 1); what the graph does
    there is checked by running it.
    """
    module = exported.module(check_guards=False)

    def run(inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        return module(*inputs.values())

    return run


def write(graph: Graph, path: Path, where: str, metadata: Mapping[str, str]) -> None:
    """Writes a graph as one file; the metadata are its extra files.

    Raises:
        JobError: torch cannot export this net.
    """
    file = io.BytesIO()
    with _quiet():
        torch.export.save(program(graph, where), file, extra_files=dict(metadata))
    path.write_bytes(file.getvalue())


def read(path: Path, where: str) -> Run:
    """The graph of a file as a function of named tensors. `where` is for formats whose reader may refuse a file."""
    with _quiet():
        return runs(torch.export.load(io.BytesIO(path.read_bytes())))


def _quiet() -> warnings.catch_warnings:
    """torch warns of its own deprecations."""
    return warnings.catch_warnings(action="ignore")
