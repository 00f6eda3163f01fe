"""Every entry on every kind of data: it builds, answers, fits on a screen, follows its papers, and says what it cannot take."""

from __future__ import annotations

import hashlib

import pytest
import torch

from convrnn import zoo
from convrnn.core.errors import ShapeError, SpecError, UsageError
from convrnn.core.seq import Ids, Seq
from convrnn.layers.base import Layer, Spec
from convrnn.layers.combine import Parallel, Residual, Serial
from convrnn.layers.conv import Conv
from convrnn.layers.framewise import Linear
from convrnn.layers.pool import Pool
from convrnn.zoo import Fingerprint
from convrnn.zoo.blocks import FRAMES_WANTED, pool_windows, width_for

DATA = {
    "long": Fingerprint("series", (1,), 11, 537, (100, 300, 1344)),
    "fixed": Fingerprint("series", (1,), 2, 50, (150, 150, 150)),
    "short": Fingerprint("series", (12,), 9, 270, (7, 15, 26)),
    "one-frame": Fingerprint("series", (4,), None, 20, (1, 1, 1)),
    "endless": Fingerprint("series", (1,), 2, 600, (50_000, 60_000, 70_000)),
    "words": Fingerprint("text", Ids(9_000), 6, 5_452, (1, 10, 37)),
    "characters": Fingerprint("text", Ids(90), 2, 13_891, (1, 46, 2_876)),
    "8x8": Fingerprint("image", (8, 1), 10, 1_437, (8, 8, 8)),
    "28x28": Fingerprint("image", (28, 1), 10, 60_000, (28, 28, 28)),
    "colour": Fingerprint("image", (32, 3), 5, 300, (20, 50, 99)),
    "line": Fingerprint("image", (1, 1), 2, 30, (1, 3, 9)),
}
MNIST = DATA["28x28"]
STREAMING = {
    "cnn",
    "cnn-lstm",
    "conv-lstm",
    "fcn",
    "gate-cnn-lstm",
    "gru",
    "inception-time",
    "lstm",
    "lstm-fcn",
    "min-gru",
    "mnist-cnn",
    "parallel-cnn-lstm",
    "qrnn",
    "resnet",
    "rnn",
    "sru",
    "tcn",
    "text-cnn",
}

SCREEN = {"inception-time": 32}
"""Lines of the spec: 25, but for six modules of four branches."""

TAKEN = {
    name: [label for label, data in DATA.items() if data.kind in zoo.get(name).kinds and (name != "mnist-cnn" or label == "28x28")]
    for name in zoo.names()
}
"""The data that an entry takes."""


def built(name: str, data: Fingerprint, **options: zoo.Value) -> Layer:
    torch.manual_seed(0)
    return zoo.get(name).spec(data, **options).build(data.in_shape).eval()


def parameters(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def rows_of(data: Fingerprint, longest: int = 60) -> Seq:
    """Rows of the data's lengths, the longest cut so that tests stay fast."""
    lengths = torch.tensor([min(n, longest) for n in data.lengths])
    size = (3, int(lengths.max()))
    if isinstance(data.in_shape, Ids):
        return Seq(torch.randint(data.in_shape.size, size), lengths)
    return Seq(torch.randn(*size, *data.in_shape), lengths)


@pytest.mark.parametrize(("name", "label"), [(name, label) for name, labels in TAKEN.items() for label in labels])
def test_builds_answers_and_fits_on_a_screen(name: str, label: str) -> None:
    data = DATA[label]
    spec = zoo.get(name).spec(data)
    assert len(spec.to_yaml().splitlines()) <= SCREEN.get(name, 25)
    assert Spec.from_yaml(spec.to_yaml()) == spec
    net = built(name, data)
    assert len(net.out_shape) == 1
    answer = net(rows_of(data)).seq.values
    assert answer.shape == (3, 1, *net.out_shape)
    assert bool(torch.isfinite(answer).all())


@pytest.mark.parametrize("name", zoo.names())
def test_streams_as_its_docstring_says(name: str) -> None:
    data = DATA["words"] if name == "text-cnn" else MNIST
    assert built(name, data).streams == (name in STREAMING)
    assert ("Streams" in zoo.get(name).about) == (name in STREAMING)


@pytest.mark.parametrize("name", zoo.names())
def test_every_option_changes_the_spec(name: str) -> None:
    """No option is ignored."""
    entry = zoo.get(name)
    data = DATA["words"] if "text" in entry.kinds else MNIST
    other: dict[str, zoo.Value] = {"pool": "attention", "dropout": 0.45, "depth": 1, "kernel": 4, "fusion": "add"}
    for option, declared in entry.options.items():
        changed = not declared.default if isinstance(declared.default, bool) else other.get(option, 13 if option == "width" else 3)
        assert entry.spec(data, **{option: changed}) != entry.spec(data), option


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "bilstm", "bigru"])
def test_layers_are_stacked_with_dropout_between(name: str) -> None:
    assert "layers=2" in repr(zoo.get(name).spec(DATA["fixed"], layers=2, dropout=0.4))
    assert "dropout=0.4" in repr(zoo.get(name).spec(DATA["fixed"], layers=2, dropout=0.4))


def test_mnist_cnn_is_that_of_the_tutorials() -> None:
    with_head = Serial(zoo.get("mnist-cnn").spec(MNIST), Linear(10)).build(MNIST.in_shape)
    assert parameters(with_head) == 121_930
    assert [tuple(p.shape) for p in with_head.parameters() if p.dim() > 1] == [(32, 1, 3, 3), (64, 32, 3, 3), (64, 1600), (10, 64)]


@pytest.mark.parametrize("option", ["window", "hop"])
def test_conv_lstm_has_no_windows_on_pictures(option: str) -> None:
    with pytest.raises(SpecError, match=rf"conv-lstm.{option}: is for series, recordings and texts, got pictures; leave it out"):
        zoo.get("conv-lstm").spec(MNIST, **{option: 4})


def test_mnist_cnn_on_pictures_of_several_widths_names_the_remedy() -> None:
    with pytest.raises(ShapeError, match=r"mnist-cnn: expected pictures of one width, got 20 to 99; .*Pool\(windows=n\)"):
        zoo.get("mnist-cnn").spec(DATA["colour"])


def test_mnist_cnn_on_pictures_that_are_too_small() -> None:
    with pytest.raises(ShapeError, match="expected pictures of at least 10x10, got 8x8"):
        zoo.get("mnist-cnn").spec(DATA["8x8"])
    assert built("mnist-cnn", Fingerprint("image", (10, 3), 2, 9, (10, 10, 10))).out_shape == (64,)


def test_another_kind_than_it_takes_names_those_that_take_it() -> None:
    with pytest.raises(UsageError, match=r"text-cnn: takes text, got series; for series: bigru, .*crnn"):
        zoo.get("text-cnn").spec(DATA["short"])


def test_text_cnn_has_the_published_sizes() -> None:
    spec = zoo.get("text-cnn").spec(DATA["words"])
    assert isinstance(spec, Serial)
    embedding, parallel, dropout = spec.layers
    assert isinstance(parallel, Parallel)
    convolutions = [layer for branch in parallel.branches for layer in convolutions_of(branch)]
    assert [(conv.kernel, conv.features) for conv in convolutions] == [(3, 100), (4, 100), (5, 100)]
    assert (repr(embedding), repr(dropout)) == ("Embedding(300, init='he')", "Dropout()")


@pytest.mark.parametrize("name", ["fcn", "lstm-fcn"])
def test_fcn_has_the_published_sizes(name: str) -> None:
    convolutions = [layer for _, layer in built(name, DATA["fixed"]).walk() if layer.name == "conv"]
    assert [tuple(next(layer.parameters()).shape) for layer in convolutions] == [(128, 1, 8), (256, 128, 5), (128, 256, 3)]


def shapes_of(name: str, kind: str, data: Fingerprint = DATA["fixed"]) -> list[tuple[int, ...]]:
    return [tuple(next(layer.parameters()).shape) for _, layer in built(name, data).walk() if layer.name == kind]


def test_resnet_has_the_published_sizes() -> None:
    """Each block goes by a convolution of one frame where it changes the width, by batch norm alone where it does not."""
    blocks = [[(64, 1, 1), (64, 1, 8), (64, 64, 5), (64, 64, 3)], [(128, 64, 1), (128, 64, 8)], [(128, 128, 8)]]
    blocks[1:] = [[*block, (128, 128, 5), (128, 128, 3)] for block in blocks[1:]]
    assert shapes_of("resnet", "conv") == [shape for block in blocks for shape in block]
    assert shapes_of("resnet", "batch_norm") == [(64,)] * 4 + [(128,)] * 8
    assert built("resnet", DATA["fixed"]).out_shape == (128,)


@pytest.mark.parametrize(("label", "channels"), [("fixed", 1), ("short", 12)])
def test_inception_time_has_the_published_sizes(label: str, channels: int) -> None:
    """Six modules of four branches; no bottleneck before up to 32 channels (published: one), and a skip over every three modules."""
    first = [(32, channels, 40), (32, channels, 20), (32, channels, 10), (32, channels, 1)]
    later = [(32, 128, 1), (32, 32, 40), (32, 32, 20), (32, 32, 10), (32, 128, 1)]
    expected = [(128, channels, 1), *first, *later * 2, (128, 128, 1), *later * 3]
    assert shapes_of("inception-time", "conv", DATA[label]) == expected
    assert built("inception-time", DATA[label]).out_shape == (128,)


def test_inception_time_of_another_depth_has_skips_over_whole_threes_only() -> None:
    for depth, skips in ((1, 0), (3, 1), (4, 1), (8, 2)):
        net = built("inception-time", DATA["fixed"], depth=depth, width=4, kernel=8)
        convolutions = [layer for _, layer in net.walk() if layer.name == "conv"]
        assert len(convolutions) == 5 * depth - 1 + skips, depth


def test_mlstm_fcn_squeezes_twice() -> None:
    assert shapes_of("mlstm-fcn", "squeeze_excite") == [(8, 128), (16, 256)]
    assert shapes_of("mlstm-fcn", "conv") == shapes_of("lstm-fcn", "conv")


@pytest.mark.parametrize("label", ["long", "fixed", "short", "one-frame", "words", "endless"])
def test_tcn_reads_the_longest_row_causally(label: str) -> None:
    """Its last frame reads every frame of the longest row (but for a last incomplete step of the opening), and none to come."""
    data = DATA[label]
    spec = zoo.get("tcn").spec(data)
    assert isinstance(spec, Serial)
    net = Serial(*spec.layers[:-2]).build(data.in_shape)
    assert net.lookahead == 0
    assert net.past is not None
    longest = data.lengths[2]
    stride = net.ratio.denominator
    assert net.past >= (longest - 1) // stride * stride
    assert (stride > 1) == (label in ("long", "endless"))
    dilations = [layer.dilation for block in spec.layers if isinstance(block, Residual) for layer in convolutions_of(block.body)]
    assert all(isinstance(d, int) and d <= 7**2 for d in dilations)


@pytest.mark.parametrize(("lengths", "symbols", "kind"), [((60, 60, 60), 6, "last"), ((59, 60, 60), 6, "mean"), ((60, 60, 60), 90, "mean")])
def test_tcn_reads_aligned_symbols_at_their_places(lengths: tuple[int, int, int], symbols: int, kind: str) -> None:
    spec = zoo.get("tcn").spec(Fingerprint("text", Ids(symbols), 3, 2_871, lengths))
    assert f"GlobalPool({kind!r})" in repr(spec) if kind != "mean" else "GlobalPool()" in repr(spec)


def convolutions_of(stack: Spec) -> list[Conv]:
    assert isinstance(stack, Serial)
    return [layer for layer in stack.layers if isinstance(layer, Conv)]


@pytest.mark.parametrize(("frames", "blocks"), [(1, 3), (24, 3), (29, 2), (152, 3), (1_344, 3), (10_000, 3), (100, 1)])
def test_pooling_brings_a_median_row_to_about_24_frames(frames: int, blocks: int) -> None:
    windows = pool_windows(frames, blocks)
    assert len(windows) == blocks
    for window in windows:
        frames = -(-frames // window)
    assert frames <= 2 * FRAMES_WANTED
    assert frames >= FRAMES_WANTED / 2 or set(windows) == {1}


def test_no_pool_is_written_where_nothing_is_pooled() -> None:
    for label in ("short", "one-frame"):
        spec = zoo.get("crnn").spec(DATA[label])
        assert isinstance(spec, Serial)
        assert not any(isinstance(layer, Pool) for layer in spec.layers)


def test_widths_are_halved_below_500_rows() -> None:
    few, many = (Fingerprint("series", (1,), 2, rows, (9, 9, 9)) for rows in (499, 500))
    assert (width_for(few, 64), width_for(many, 64), width_for(few, 64, 48)) == (32, 64, 48)
    for name in ("cnn", "crnn", "cnn-lstm", "gru", "tcn"):
        assert parameters(built(name, few)) < parameters(built(name, many)) / 2


@pytest.mark.parametrize("name", zoo.names())
def test_a_version_means_the_same_for_ever(name: str) -> None:
    """If this goes red, give the entry a new version and a new line in `RECORDED`."""
    entry = zoo.get(name)
    specs = "\n".join(repr(entry.spec(DATA[label])) for label in TAKEN[name])
    assert RECORDED[name] == (entry.version, hashlib.sha256(specs.encode()).hexdigest()[:12])


RECORDED: dict[str, tuple[int, str]] = {
    "bigru": (1, "7a2c00ac88bc"),
    "bilstm": (1, "298fc7e5b6d7"),
    "cnn": (1, "64130d83c02b"),
    "cnn-lstm": (2, "ba931d102b82"),
    "conv-lstm": (1, "ef621f7ee794"),
    "crnn": (1, "5bd2bf728418"),
    "fcn": (1, "a0a7d4a4dcbe"),
    "gate-cnn-lstm": (1, "8a208323d605"),
    "gru": (1, "c9b2ec962bc3"),
    "inception-time": (1, "26cf2f49d493"),
    "lstm": (1, "ad97f36803ce"),
    "lstm-fcn": (1, "e84db5d11b94"),
    "min-gru": (1, "a97701f6b70b"),
    "mlstm-fcn": (1, "ed38506d04c7"),
    "mnist-cnn": (1, "9caa4cf1116a"),
    "parallel-cnn-lstm": (1, "7e2251c3201f"),
    "qrnn": (1, "18864bbd1996"),
    "resnet": (1, "acb17dc5ef78"),
    "rnn": (1, "66b4bc382489"),
    "sru": (1, "d087e1c6555f"),
    "tcn": (2, "11f9e038c7a7"),
    "text-cnn": (1, "41600d76873b"),
}
"""The version of each entry and a digest of its specs for the data it takes (`repr` leaves defaults out)."""
