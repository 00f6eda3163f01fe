"""Law 10: what `torch.export`, `torch.compile` and ONNX make of a layer is the layer. Knows no layer in particular.

Graphs are checked by `deploy.check`, as every export of a user is: several batch sizes, lengths far above the traced one, none, NaN in the
padding; a step graph is fed chunks of several sizes while rows join late, pause and leave.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch._dynamo import config as _config
from torch._dynamo.exc import RecompileError

from convrnn.core.seq import Seq
from convrnn.deploy import pt2
from convrnn.deploy.check import check
from convrnn.deploy.export import export as export_file
from convrnn.deploy.graphs import Offline, dtype_of, fixed_lengths
from convrnn.layers.base import Layer, Out
from convrnn.testing.case import Case, gradients
from convrnn.testing.chunks import LawBroken, batch_of, compare, compare_states, make_rows, split_rows

_NINE = (17, 3, 0, 5, 9, 1, 2, 11, 4)
"""More rows than a layer of `cases.py` has channels: torch takes equal sizes for one size, and a size of 1 for a graph of its own."""

COSTLY = ("compile", "onnx", "onnx-step")
"""Laws that take seconds a case."""


def absent(law: str) -> str:
    """Why a law cannot be checked here; empty: it can."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    return f"{missing[0]} is not installed (extra onnx)" if law.startswith("onnx") and missing else ""


def export(case: Case, seed: int, training: bool) -> None:
    """10. `torch.export` of whole rows, with dynamic batch and time, equals the layer at other sizes."""
    graph = Offline(case.build(training))
    check(graph, pt2.runs(pt2.program(graph, "export")), "export")


def onnx(case: Case, seed: int, training: bool) -> None:
    """10. The ONNX graph of whole rows equals the layer."""
    _onnx(case, training, "onnx")


def onnx_step(case: Case, seed: int, training: bool) -> None:
    """10. The ONNX graph of a step, its state carried from chunk to chunk, equals the layer offline."""
    _onnx(case, training, "onnx-step")


def _onnx(case: Case, training: bool, form: str) -> None:
    """In float32: ONNX Runtime has no double-precision convolution or GRU."""
    net = replace(case, dtype=torch.float32).build(training)
    with TemporaryDirectory() as folder:
        export_file(net, form, Path(folder) / "graph.onnx")


def compiled(case: Case, seed: int, training: bool) -> None:
    """10. `torch.compile`, without a break in the graph, gives the same values and gradients, and does not compile again for every size."""
    compare_compiled(case, seed, "aot_eager")


def compare_compiled(case: Case, seed: int, backend: str, once: bool = True) -> None:
    """The law for a backend of `torch.compile`: whole rows of three sizes, their gradients, chunks; compiled `once` for all sizes."""
    torch.compiler.reset()
    net = case.build()
    fast = torch.compile(net, backend=backend, fullgraph=True, dynamic=True)
    rows = case.rows(seed)
    for lengths, compiles in ((_NINE, True), ((23, *_NINE[:6]), False)):
        others = rows if fixed_lengths(net) else make_rows(net.in_shape, lengths, seed, case.dtype)
        with _config.patch(error_on_recompile=once and not compiles):
            try:
                _compare_out("compiled", fast(batch_of(others)), net(batch_of(others)))
            except RecompileError as error:
                raise LawBroken(f"compiles again for other lengths: {str(error).splitlines()[0]}") from error

    def gradients_of(run: Callable[[Seq], Out]) -> list[Tensor]:
        return gradients(net, rows, lambda r: split_rows(run(batch_of(r)).seq), seed)

    with warnings.catch_warnings():
        # dynamo asks the padded batch, which is made of rows and no leaf, for its gradient.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        found = gradients_of(fast)
    for i, (got, want) in enumerate(zip(found, gradients_of(net), strict=True)):
        compare(f"compiled: gradient {i}", got, want, gradient=True)
    if net.streams:
        with torch.no_grad():
            _compare_chunks(net, fast, rows)


def _compare_chunks(net: Layer, fast: Callable[..., Out], rows: list[Tensor]) -> None:
    """Two chunks of different sizes, in the second of which rows end."""
    # A layer without parameters has no dtype of its own: its state is in that of the frames.
    state = net.initial_state(len(rows), rows[0].new_zeros(()) if rows[0].is_floating_point() else torch.zeros((), dtype=dtype_of(net)))
    first, rest = [row[: len(row) // 3] for row in rows], [row[len(row) // 3 :] for row in rows]
    for pieces, ends in ((first, False), (rest, True)):
        chunk, last = batch_of(pieces), torch.full((len(rows),), ends)
        got, want = fast(chunk, state, last), net(chunk, state, last)
        _compare_out("compiled chunk", got, want)
        state = want.state


def _compare_out(what: str, got: Out, want: Out) -> None:
    for i, (a, b) in enumerate(zip(split_rows(got.seq), split_rows(want.seq), strict=True)):
        compare(f"{what}: row {i}", a, b)
    compare_states(f"{what}: state", got.state, want.state)
