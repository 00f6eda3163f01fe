"""A net as a file for other programs, run against the net before it gets its name. Knows no layer.

What a client must know travels in the file, as text:

    convrnn   the version that wrote it
    form      `offline` or `step`
    spec      the layers, JSON
    state     JSON: for each state `{"name", "dtype", "shape", "initial"}`; shape and initial value are those of one row, one number fills
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import convrnn
from convrnn.core.errors import UsageError
from convrnn.core.files import replacing
from convrnn.core.language import tr
from convrnn.deploy import onnx, pt2
from convrnn.deploy.check import Run, check
from convrnn.deploy.graphs import Graph, Offline, Start, Step
from convrnn.layers.base import Layer

FormatName = Literal["onnx", "onnx-step", "pt2"]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        file: what a file in a run is called.
        graph: whole rows, or a step.
        write: `(graph, path, where, metadata)`.
        read: `(path, where)`: the file as a function of named tensors.
    """

    file: str
    graph: type[Graph]
    write: Callable[[Graph, Path, str, Mapping[str, str]], None]
    read: Callable[[Path, str], Run]


FORMATS: dict[str, Format] = {
    "onnx": Format("model.onnx", Offline, onnx.write, onnx.read),
    "onnx-step": Format("model-step.onnx", Step, onnx.write, onnx.read),
    "pt2": Format("model.pt2", Offline, pt2.write, pt2.read),
}


class Exported(NamedTuple):
    """A file that was written.

    Attributes:
        path: where.
        bytes: its size.
        inputs: the names that it takes.
        outputs: and gives.
        difference: the largest found between it and the net, relative to the largest number of that output.
    """

    path: Path
    bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float


def export(net: Layer, form: FormatName | str, path: str | Path, about: Mapping[str, str] | None = None) -> Exported:
    """Writes a net as one file, after running that file against the net.

    Args:
        net: the layers, with weights in float32; they are not changed.
        form: `onnx`: whole rows; `onnx-step`: some frames and the state; `pt2`: whole rows for torch.
        path: of the file; an older one is replaced.
        about: more metadata.

    Raises:
        UsageError: no such format, ONNX is not installed, or the weights are not float32.
        NotStreamable: a step graph of a layer that does not stream; names it and the remedy.
        JobError: torch cannot export the net, the graph does not equal it, or the file cannot be written; an older file stays as it was.
    """
    chosen = find_format(form)
    graph = chosen.graph(net)
    with replacing(path) as temporary:
        chosen.write(graph, temporary, str(path), {**(about or {}), **_metadata(graph)})
        difference = check(graph, chosen.read(temporary, str(path)), str(path))
    return Exported(Path(path), Path(path).stat().st_size, graph.inputs, graph.outputs, difference)


def find_format(form: str) -> Format:
    """The format of a name; raises `UsageError`."""
    if form not in FORMATS:
        raise UsageError("export", tr("expected a format of {names}, got {got!r}", names=", ".join(FORMATS), got=form))
    return FORMATS[form]


def _metadata(graph: Graph) -> dict[str, str]:
    spec = graph.net.made_from
    return {
        "convrnn": convrnn.__version__,
        "form": "step" if isinstance(graph, Step) else "offline",
        "spec": "" if spec is None else spec.to_json(indent=None),
        "state": json.dumps([_described(start) for start in graph.starts]),
    }


def _described(start: Start) -> dict[str, Any]:
    """What a client needs to begin a row. Infinity, which JSON does not have, is written as text, which `float` reads."""
    numbers = start.row.flatten().tolist()
    initial: Any = numbers[0] if len(set(numbers)) == 1 else start.row.tolist() if numbers else 0
    if initial in (float("inf"), float("-inf")):
        initial = str(initial)
    return {"name": start.name, "dtype": str(start.row.dtype).removeprefix("torch."), "shape": list(start.row.shape), "initial": initial}
