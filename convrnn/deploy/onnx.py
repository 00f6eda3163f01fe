"""ONNX files: written by torch's exporter, run in ONNX Runtime. Knows no layer.

Recurrences become GRU, LSTM and RNN nodes where ONNX has the cell and `Scan` elsewhere; nothing is unrolled over time.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convrnn.core.errors import JobError, UsageError
from convrnn.core.language import tr
from convrnn.deploy.check import Run
from convrnn.deploy.graphs import Graph, unspecialised
from convrnn.kernels import dispatch

OPSET = 18
"""The operator set that torch's exporter is written in: every ONNX Runtime since 1.14 reads it."""


def write(graph: Graph, path: Path, where: str, metadata: Mapping[str, str]) -> None:
    """Writes a graph as one ONNX file.

    Args:
        graph: what to export.
        path: of the file.
        where: named in errors.
        metadata: kept in the file's `metadata_props`.

    Raises:
        UsageError: ONNX is not installed, or the weights are not float32.
        JobError: torch cannot export this net.
    """
    _require_installed()
    _require_float32(graph)
    program = _traced(graph, where)
    program.model.metadata_props.update(metadata)
    program.save(str(path))


def read(path: Path, where: str) -> Run:
    """The graph of a file as a function of named tensors, in ONNX Runtime on the CPU.

    Raises:
        JobError: ONNX Runtime refuses the graph, at once or for the inputs it is given.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and need not be printed too

    @contextmanager
    def refusals() -> Iterator[None]:
        try:
            yield
        except _refused() as error:
            raise JobError(
                where, tr("ONNX Runtime refuses the exported graph: {error}", error=error), tr("nothing was written; please report it")
            ) from error

    with refusals():
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, Tensor]) -> Sequence[Tensor]:
        with refusals():
            return [torch.from_numpy(each) for each in session.run(None, {name: value.numpy() for name, value in inputs.items()})]

    return run


def _refused() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its exceptions have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # pyright: ignore[reportAttributeAccessIssue]  (compiled)

    return state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented, state.RuntimeException


def _require_installed() -> None:
    try:
        import onnxruntime as onnxruntime
        import onnxscript as onnxscript
    except ImportError as error:
        raise UsageError(
            "export", tr("ONNX needs {error}, which is not installed", error=error.name), tr("pip install 'convrnn[onnx]'")
        ) from error


def _require_float32(graph: Graph) -> None:
    """ONNX Runtime computes convolutions and recurrences in float32 only."""
    wrong = next(((name, each.dtype) for name, each in graph.net.named_parameters() if each.dtype != torch.float32), None)
    if wrong is not None:
        raise UsageError(
            "export",
            tr("expected weights in float32, got {got} for {name}", got=wrong[1], name=wrong[0]),
            tr("convert the net with .float()"),
        )


def _traced(graph: Graph, where: str) -> torch.onnx.ONNXProgram:
    from convrnn.deploy import onnx_cells

    table: dict[Any, Any] = {torch.ops.convrnn.recur.default: onnx_cells.recur}
    with torch.no_grad(), _quiet(), dispatch.use("onnx"), unspecialised():
        try:
            program = torch.onnx.export(
                graph,
                graph.sample(),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_shapes=graph.shapes("batch", "frames"),
                custom_translation_table=table,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise JobError(where, tr("torch.onnx cannot export this net: {reason}", reason=reason), tr("please report it")) from error
    assert program is not None
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own deprecations and of packages that it does not find. What is wrong, the check finds."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
