"""What users get wrong with layers: each one line that names the place and the remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import convrnn as cr
from convrnn.core.errors import InputError, NotStreamable, ShapeError, SpecError
from tests.layers.refused import refused

X = torch.zeros(2, 5, 3)
STACK = cr.Serial(cr.Conv(4), cr.Residual(cr.Serial(cr.Conv(4), cr.GRU(4, bidirectional=True, merge="sum"))))


def streamed() -> cr.Stream:
    return cr.Serial(cr.Conv(4), cr.GRU(3)).build(3).stream(2)


MISTAKES: dict[str, tuple[Callable[[], object], type[InputError], str]] = {
    "wrong width mid-stack": (
        lambda: cr.Serial(cr.Conv(4), cr.Residual(cr.Serial(cr.Linear(8), cr.GRU(8)))).build(3),
        ShapeError,
        "1.residual: the body gives (8,), the input is (4,); end the body with 4 features",
    ),
    "unequal branches": (
        lambda: cr.Serial(cr.Parallel(cr.Conv(4), cr.Conv(5), merge="add")).build(3),
        ShapeError,
        "0.parallel.1: gives frames of (5,), the first branch gives (4,); make them equal, or merge='concat' where only widths differ",
    ),
    "unequal strides": (
        lambda: cr.Parallel(cr.Conv(4), cr.Conv(4, stride=2)).build(3),
        ShapeError,
        "parallel.1: gives 1/2 frame(s) an input frame, the first branch 1; use the same strides",
    ),
    "unequal numbers of frames": (
        lambda: cr.Parallel(cr.Conv(4), cr.Conv(4, padding="valid")).build(3),
        ShapeError,
        "parallel.1: gives 0 frame(s) for 1, '0' gives 1; use the same strides and padding",
    ),
    "groups that do not divide": (
        lambda: cr.Serial(cr.Conv(4, groups=2)).build(3),
        ShapeError,
        "0.conv: expected groups=2 to divide 3 input channels",
    ),
    "a recurrence over pictures": (
        lambda: cr.Serial(cr.Conv(4), cr.GRU(8)).build((28, 1)),
        ShapeError,
        "1.gru: expected frames without space, got (28, 4); put a Fold first",
    ),
    "a recurrence over ids": (
        lambda: cr.Serial(cr.GRU(8)).build(cr.Ids(100)),
        ShapeError,
        "0.gru: expected channels, got ids of 100 symbols; put an Embedding first",
    ),
    "an embedding of channels": (
        lambda: cr.Serial(cr.Embedding(8)).build(3),
        ShapeError,
        "0.embedding: expected ids of symbols, got channels (3,); build for cr.Ids(n), or leave the Embedding out",
    ),
    "a kernel larger than the picture": (
        lambda: cr.Serial(cr.Conv(4, kernel=5, padding="valid")).build((3, 1)),
        ShapeError,
        "0.conv: kernel (5, 5) with padding 'valid' does not fit into space (3,); use a smaller kernel or padding 'same'",
    ),
    "sizes for another number of dimensions": (
        lambda: cr.Serial(cr.Conv(4, kernel=(3, 3))).build(3),
        ShapeError,
        "0.conv: expected 1 number(s) for kernel (time, then space), got (3, 3)",
    ),
    "lengths beyond the batch": (
        lambda: STACK.build(3)(cr.Seq(X, torch.tensor([5, 6]))),
        ShapeError,
        "conv: expected lengths in 0..5, got 6 for row 1; a length counts the frames of its row",
    ),
    "a negative length": (
        lambda: cr.GRU(4).build(3)(cr.Seq(X, torch.tensor([-1, 5]))),
        ShapeError,
        "gru: expected lengths in 0..5, got -1 for row 0; a length counts the frames of its row",
    ),
    "lengths as fractions": (
        lambda: cr.GRU(4).build(3)(cr.Seq(X, torch.tensor([0.5, 1.0]))),
        ShapeError,
        "gru: expected lengths int64 [2], got torch.float32 [2]; give one number a row",
    ),
    "a length for the whole batch": (
        lambda: cr.GRU(4).build(3)(cr.Seq(X, torch.tensor([5]))),
        ShapeError,
        "gru: expected lengths int64 [2], got torch.int64 [1]; give one number a row",
    ),
    "unknown name": (lambda: cr.Spec.from_yaml("[{conv: 4}, {gruu: 4}]"), SpecError, "1.layer: unknown name 'gruu'; did you mean 'gru'?"),
    "float ids": (
        lambda: cr.Embedding(4).build(cr.Ids(9))(cr.Seq(torch.zeros(2, 5))),
        ShapeError,
        "embedding: expected integer ids [B, T], got torch.float32 [2, 5]; give ids, or build for channels",
    ),
    "foreign vocabulary": (
        lambda: cr.Embedding(4).build(cr.Ids(9))(cr.Seq(torch.tensor([[3, 9]]))),
        ShapeError,
        "embedding: expected ids in 0..8, got 9; encode with the vocabulary the model was built for",
    ),
    "whole numbers for channels": (
        lambda: cr.Conv(4).build(3)(cr.Seq(torch.zeros(2, 5, 3, dtype=torch.int64))),
        ShapeError,
        "conv: expected floating-point values, got torch.int64; convert with .float(), or put an Embedding first",
    ),
    "no time axis": (
        lambda: cr.Conv(4).build(3)(cr.Seq(torch.zeros(5, 3))),
        ShapeError,
        "conv: expected [B, T, 3], got [5, 3]; build it for ()",
    ),
    "streaming a bidirectional model": (
        lambda: STACK.build(3).stream(),
        NotStreamable,
        "1.body.1.gru: cannot stream: it needs the whole row; use bidirectional=False",
    ),
    "a chunk for a bidirectional layer": (
        lambda: STACK.build(3)(cr.Seq(X), None, False),
        NotStreamable,
        "gru: cannot stream: the backward direction needs the whole row; use bidirectional=False",
    ),
    "streaming windows of the whole row": (
        lambda: cr.Serial(cr.Conv(4), cr.Pool(windows=3)).build(3).stream(),
        NotStreamable,
        "1.pool: cannot stream: it needs the whole row; use Pool(window) with a fixed window",
    ),
    "a chunk with the wrong channels": (
        lambda: streamed().push(torch.zeros(2, 5, 4)),
        ShapeError,
        "conv: expected [B, T, 3], got [2, 5, 4]; build it for (4,)",
    ),
    "a chunk for another number of rows": (
        lambda: streamed().push(torch.zeros(1, 5, 3)),
        ShapeError,
        "stream: expected 2 row(s), got 1; open it with stream(batch=n)",
    ),
    "a chunk shorter than its lengths": (
        lambda: streamed().push(torch.zeros(2, 5, 3), torch.tensor([6, 0])),
        ShapeError,
        "stream: expected 2 length(s) in 0..5, got [6, 0]",
    ),
    "rows of another number of frames": (
        lambda: cr.Serial(cr.Conv(4), cr.Flatten(4)).build(3)(cr.Seq(X, torch.tensor([4, 3]))),
        ShapeError,
        "flatten: expected rows of 4 frames, row 1 has 3; put Pool(windows=4) before it",
    ),
    "full rows of another number of frames": (
        lambda: cr.Flatten(4).build(3)(cr.Seq(X)),
        ShapeError,
        "flatten: expected rows of 4 frames, row 0 has 5; put Pool(windows=4) before it",
    ),
}


@pytest.mark.parametrize(("make", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(make: Callable[[], object], kind: type[InputError], message: str) -> None:
    refused(make, kind, message)


def test_an_empty_batch_is_no_mistake() -> None:
    """No rows, and no frames: legal everywhere."""
    net = STACK.build(3)
    assert net(cr.Seq(torch.zeros(0, 5, 3), torch.zeros(0, dtype=torch.int64))).seq.values.shape == (0, 5, 4)
    assert net(cr.Seq(torch.zeros(2, 0, 3), torch.zeros(2, dtype=torch.int64))).seq.values.shape == (2, 0, 4)


def test_lengths_are_not_read_in_traced_code() -> None:
    """One graph serves all lengths: a look at the numbers would break it."""
    net = cr.Serial(cr.Conv(4), cr.Pool(2), cr.GRU(3)).build(3)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    got = compiled(cr.Seq(X + 1, torch.tensor([5, 2]))).seq.values
    assert torch.allclose(got, net(cr.Seq(X + 1, torch.tensor([5, 2]))).seq.values)
