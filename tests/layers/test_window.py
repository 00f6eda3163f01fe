"""Windows as frames and layers within frames: by hand, frame by frame, frozen, in training, and what may not cross a window's border."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import convrnn as cr
from convrnn.core.errors import InputError, ShapeError
from convrnn.core.seq import Seq
from convrnn.layers.base import Spec
from convrnn.testing import laws
from convrnn.testing.chunks import batch_of, compare, make_rows, split_rows
from convrnn.testing.laws import Case


def windows(spec: cr.Window, frames: int) -> list[list[float]]:
    """Of the row 1, 2, 3, ..."""
    x = torch.arange(1.0, frames + 1).reshape(1, frames, 1)
    return spec.build(1)(Seq(x)).seq.values[0, :, :, 0].tolist()


# ---- windows


@pytest.mark.parametrize(
    ("spec", "frames", "want"),
    [
        (cr.Window(2), 5, [[1, 2], [3, 4], [5, 0]]),
        (cr.Window(2, partial="drop"), 5, [[1, 2], [3, 4]]),
        (cr.Window(3, hop=2), 5, [[1, 2, 3], [3, 4, 5], [5, 0, 0]]),
        (cr.Window(3, 2, partial="drop"), 5, [[1, 2, 3], [3, 4, 5]]),
        (cr.Window(1, hop=2), 5, [[1], [3], [5]]),
        (cr.Window(4), 2, [[1, 2, 0, 0]]),
        (cr.Window(4, partial="drop"), 2, []),
        (cr.Window(4), 0, []),
    ],
    ids=repr,
)
def test_windows_by_hand(spec: cr.Window, frames: int, want: list[list[float]]) -> None:
    assert windows(spec, frames) == want


def test_a_window_of_a_stream_comes_with_its_last_frame() -> None:
    stream = cr.Window(3, hop=2).build(1).stream()
    assert (stream.lookahead, stream.first_answer, stream.chunk_wait) == (2, 3, 2)
    out = [split_rows(stream.push(torch.full((1, 1, 1), float(t))))[0][:, :, 0].tolist() for t in range(1, 6)]
    assert out == [[], [], [[1, 2, 3]], [], [[3, 4, 5]]]
    assert split_rows(stream.peek())[0][:, :, 0].tolist() == [[5, 0, 0]]


# ---- within frames

BODIES: dict[str, Spec] = {
    "conv": cr.Conv(3, kernel=2, stride=2),
    "bidirectional": cr.GRU(2, bidirectional=True),
    "to-one": cr.Serial(cr.Conv(3), cr.GlobalPool("attention")),
    "two-windows": cr.Pool(windows=2),
    "flat": cr.Flatten(5),
    "nothing": cr.Serial(),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_a_frame_is_a_row_for_the_body(name: str, training: bool) -> None:
    torch.manual_seed(0)
    net = cr.TimeDistributed(BODIES[name]).build((5, 2)).double().train(training)
    body = net.get_submodule("body")
    rows = make_rows((5, 2), (4, 0, 2), 1, torch.float64)
    for row, got in zip(rows, split_rows(net(batch_of(rows)).seq), strict=True):
        assert got.shape == (len(row), *net.out_shape)
        for frame, answer in zip(row, got, strict=True):
            want = body(Seq(frame[None])).seq.values[0]
            compare("frame", answer, want.reshape(net.out_shape))


@pytest.mark.parametrize(("name", "shape"), [("conv", (3, 3)), ("to-one", (3,)), ("two-windows", (2, 2)), ("flat", (10,))])
def test_one_frame_for_all_drops_its_dimension(name: str, shape: tuple[int, ...]) -> None:
    assert cr.TimeDistributed(BODIES[name]).build((5, 2)).out_shape == shape


def test_cnn_of_every_picture_then_lstm() -> None:
    """LRCN: height takes the place of time, width is space; the LSTM reads a vector a picture."""
    cnn = cr.Serial(cr.Conv(4), cr.Activation("relu"), cr.Pool(2), cr.Conv(6), cr.GlobalPool("max"), cr.Fold("max"))
    net = cr.Serial(cr.TimeDistributed(cnn), cr.LSTM(5)).build((8, 6, 3))
    assert net.out_shape == (5,)
    assert net.streams and (net.past, net.lookahead) == (None, 0)


def test_an_extractor_does_not_look_across_the_border_of_a_window() -> None:
    """Way (1) of joining: frame 4 is in the windows from 2 and from 4 alone. A cascade, way (3), lets it through to more."""
    torch.manual_seed(0)
    net = cr.Serial(cr.Window(4, hop=2), cr.TimeDistributed(cr.Serial(cr.Conv(3, kernel=5), cr.GlobalPool("max")))).build(2)
    x = torch.randn(1, 12, 2)
    x[0, 4] = float("nan")
    assert net(Seq(x)).seq.values[0].isnan().any(1).nonzero()[:, 0].tolist() == [1, 2]
    cascade = cr.Serial(cr.Conv(3, kernel=5), cr.Window(4, hop=2), cr.TimeDistributed(cr.GlobalPool("max"))).build(2)
    assert cascade(Seq(x)).seq.values[0].isnan().any(1).nonzero()[:, 0].tolist() == [0, 1, 2, 3]


# ---- in training


def test_batch_norm_in_the_body_learns_from_valid_frames_alone() -> None:
    torch.manual_seed(0)
    net = cr.TimeDistributed(cr.BatchNorm(momentum=1.0)).build((3, 2)).double()
    rows = make_rows((3, 2), (4, 0, 2), 1, torch.float64)
    net(batch_of(rows))
    valid = torch.cat(rows).reshape(-1, 2)
    compare("mean", net.get_buffer("body.mean"), valid.mean(0))
    compare("variance", net.get_buffer("body.var"), valid.var(0))


def test_every_frame_drops_its_own() -> None:
    torch.manual_seed(0)
    y = cr.TimeDistributed(cr.Dropout(0.5, variational=True)).build((3, 16)).train()(Seq(torch.ones(2, 4, 3, 16))).seq.values
    assert torch.equal(y, y[:, :, :1].expand_as(y)), "one mask for all of a frame"
    masks = y[:, :, 0].reshape(8, 16)
    assert len({tuple(mask.tolist()) for mask in masks}) == 8


@pytest.mark.parametrize(
    "body",
    [cr.Serial(cr.Dropout(0.4), cr.Dropout(0.4)), cr.GRU(2, layers=2, dropout=0.4), cr.LSTM(2, zoneout=0.3, weight_dropout=0.4)],
    ids=["drop", "between-layers", "weights"],
)
def test_masks_do_not_depend_on_the_chunk(body: Spec) -> None:
    """Those of weights, too, which all frames of a batch share."""
    case = Case("distributed", cr.TimeDistributed(body), (3, 2), (6, 0, 3, 1))
    assert laws.check(case, "gradient:train", range(3)).reason == ""


def test_two_dropouts_of_a_body_drop_different_channels() -> None:
    torch.manual_seed(0)
    body = cr.Parallel(cr.Dropout(0.5), cr.Dropout(0.5))
    y = cr.TimeDistributed(body).build((3, 16)).train()(Seq(torch.ones(1, 4, 3, 16))).seq.values
    assert not torch.equal(y[..., :16], y[..., 16:])


def test_a_loaded_body_stays_as_it_was() -> None:
    """Weights of a net that was trained elsewhere; in training they, the statistics and the answer stay, and what is before it learns."""
    torch.manual_seed(0)
    cnn = cr.Serial(cr.Conv(3), cr.BatchNorm(), cr.Dropout(0.5), cr.GlobalPool())
    trained = cnn.build(2)
    trained.train()(Seq(torch.randn(4, 9, 2)))
    net = cr.Serial(cr.Linear(2), cr.Window(4), cr.TimeDistributed(cnn, frozen=True)).build(5)
    body = net.get_submodule("layers.2.body")
    body.load_state_dict(trained.state_dict())
    x = Seq(torch.randn(2, 8, 5), torch.tensor([8, 5]))
    want = net.eval()(x).seq.values
    got = net.train()(x).seq.values
    assert torch.equal(got, want)
    got.sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is not None] == ["layers.0.weight", "layers.0.bias"]
    assert not body.training and net.get_submodule("layers.2").training
    assert all(torch.equal(a, b) for a, b in zip(body.buffers(), trained.buffers(), strict=True))


# ---- mistakes

MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "frames that are no sequences": (
        lambda: cr.Serial(cr.TimeDistributed(cr.Conv(4))).build(3),
        "0.time_distributed: expected frames that are sequences (n, *space, C), got (3,); put a Window first",
    ),
    "a body without an answer": (
        lambda: cr.TimeDistributed(cr.Conv(4, kernel=5, padding="valid")).build((4, 3)),
        "time_distributed: the body gives no frame for 4; widen the window, or pad in the body",
    ),
    "a body that does not fit": (
        lambda: cr.Serial(cr.Window(4), cr.TimeDistributed(cr.Serial(cr.Conv(4), cr.GRU(8)))).build((28, 1)),
        "1.time_distributed.1.gru: expected frames without space, got (28, 4); put a Fold first",
    ),
    "windows of ids": (
        lambda: cr.Window(4).build(cr.Ids(9)),
        "sliding_window: expected channels, got ids of 9 symbols; put an Embedding first",
    ),
    "frames of another shape": (
        lambda: cr.TimeDistributed(cr.Conv(4)).build((4, 3))(Seq(torch.zeros(2, 5, 3))),
        "time_distributed: expected [B, T, 4, 3], got [2, 5, 3]; build it for (3,)",
    ),
}


@pytest.mark.parametrize(("make", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as raised:
        make()
    assert type(raised.value) is ShapeError
    assert str(raised.value) == message


def test_a_body_that_needs_whole_rows_streams() -> None:
    """It is shown whole frames."""
    stream = cr.TimeDistributed(cr.LSTM(2, bidirectional=True)).build((3, 2)).stream()
    assert stream.push(torch.zeros(1, 2, 3, 2)).values.shape == (1, 2, 3, 4)


def test_no_frames_and_no_rows_are_legal() -> None:
    net = cr.Serial(cr.Window(3), cr.TimeDistributed(cr.Serial(cr.Conv(2), cr.BatchNorm(), cr.GlobalPool()))).build(2)
    for shape in ((0, 4, 2), (2, 0, 2)):
        for training in (False, True):
            y: Tensor = net.train(training)(Seq(torch.zeros(shape), torch.zeros(shape[0], dtype=torch.int64))).seq.values
            assert y.shape == (shape[0], -(-shape[1] // 3), 2)
