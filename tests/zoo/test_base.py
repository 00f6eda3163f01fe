"""Fingerprints, the registry, the check of options, recommended settings, and bodies from files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from convrnn import zoo
from convrnn.core.errors import SpecError, UsageError
from convrnn.core.seq import Ids
from convrnn.layers.base import Spec
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.recurrent import GRU
from convrnn.modality.augment import WordDropout
from convrnn.training import Settings
from convrnn.zoo import Fingerprint, base
from convrnn.zoo.blocks import Width

SERIES = Fingerprint("series", (3,), 2, 270, (7, 15, 26))


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test enters is gone afterwards."""
    before = dict(base._ENTRIES)
    yield
    base._ENTRIES.clear()
    base._ENTRIES.update(before)


def test_fingerprint_of_rows() -> None:
    data = Fingerprint.of("series", (3,), [9, 7, 26, 8, 30], 4)
    assert data == Fingerprint("series", (3,), 4, 5, (7, 9, 30))
    assert (data.channels, data.fixed_length) == (3, None)
    assert Fingerprint.of("text", Ids(50), [4, 4]).fixed_length == 4
    assert Fingerprint.of("text", Ids(50), [4, 4]).channels == 50
    assert Fingerprint.of("image", (8, 2), []).lengths == (0, 0, 0)


def test_every_entry_says_what_it_is() -> None:
    expected = (
        "bigru bilstm cnn cnn-lstm conv-lstm crnn fcn gate-cnn-lstm gru inception-time lstm lstm-fcn min-gru mlstm-fcn mnist-cnn "
        "parallel-cnn-lstm qrnn resnet rnn sru tcn text-cnn"
    )
    assert zoo.names() == tuple(expected.split())
    for name in zoo.names():
        entry = zoo.get(name)
        assert entry.name == name
        assert entry.line
        assert entry.line == entry.about.splitlines()[0]
        assert entry.papers
        assert all(1950 < paper.year < 2030 for paper in entry.papers)
        assert all(option.meaning for option in entry.options.values())
        assert entry.version >= 1


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"model: unknown name 'crrnn'; did you mean 'crnn'\?"):
        zoo.get("crrnn")
    with pytest.raises(SpecError, match="known: bigru, bilstm, cnn"):
        zoo.get("perceptron")


def test_options_are_checked() -> None:
    entry = zoo.get("crnn")
    with pytest.raises(SpecError, match=r"crnn.options: unknown name 'widht'; did you mean 'width'\?"):
        entry.spec(SERIES, widht=3)
    with pytest.raises(SpecError, match=r"crnn.width: expected a value greater than 0, got -1; channels of the first"):
        entry.spec(SERIES, width=-1)
    with pytest.raises(SpecError, match=r"crnn.width: expected integer, got '64'"):
        entry.spec(SERIES, width="64")
    with pytest.raises(SpecError, match=r"crnn.pool: expected 'last', 'mean', 'max' or 'attention', got 'sum'"):
        entry.spec(SERIES, pool="sum")
    with pytest.raises(SpecError, match=r"crnn.dropout: expected a value less than 1, got 1.5"):
        entry.spec(SERIES, dropout=1.5)
    assert entry.spec(SERIES, width=None) == entry.spec(SERIES)


def test_an_entry_of_ones_own(registry: None) -> None:
    paper = base.Paper("Nobody", 2026, "A study of nothing", "2601.00001")

    @zoo.entry("mine", kinds=("series",), papers=(paper,), settings={"rate": 0.5}, version=3)
    def mine(data: Fingerprint, *, width: Width = None) -> Spec:
        """A GRU of my own.

        More of it.
        """
        return GRU(width or data.channels)

    found = zoo.get("mine")
    assert (found.line, found.version, list(found.options)) == ("A GRU of my own.", 3, ["width"])
    assert (found.spec(SERIES), found.spec(SERIES, width=5)) == (GRU(3), GRU(5))
    assert found.settings_for(SERIES)["rate"] == 0.5
    assert str(paper) == "Nobody (2026), A study of nothing, arXiv 2601.00001"
    with pytest.raises(ValueError, match="the zoo has a 'mine' already"):
        zoo.entry("mine", kinds=("series",))(mine)


@pytest.mark.parametrize("rows", [0, 1, 60, 270, 499, 500, 1_437, 5_000, 14_000, 60_000, 2_000_000])
@pytest.mark.parametrize("name", zoo.names())
def test_recommended_settings_are_settings(name: str, rows: int) -> None:
    settings = Settings.from_dict({"settings": "training", **zoo.get(name).settings_for(replace(SERIES, rows=rows))})
    assert 4 <= settings.epochs <= 500


def test_settings_follow_the_rows() -> None:
    few, some, many = (zoo.scaled_settings(replace(SERIES, rows=rows)) for rows in (270, 1_437, 60_000))
    assert (few["batch"], some["batch"], many["batch"]) == (16, 32, 128)
    assert (few["epochs"], some["epochs"], many["epochs"]) == (88, 33, 5)
    tiny, small = (zoo.scaled_settings(replace(SERIES, rows=rows)) for rows in (30, 100))
    assert (tiny["batch"], tiny["epochs"], small["epochs"]) == (16, 500, 214)


def test_aligned_symbols_are_hidden_now_and_then() -> None:
    strands = Fingerprint("text", Ids(6), 3, 2_871, (60, 60, 60))
    recommended = zoo.get("tcn").settings_for(strands)
    assert Settings.from_dict({"settings": "training", **recommended}).augment == (WordDropout(0.1),)
    for other in (replace(strands, lengths=(59, 60, 60)), replace(strands, in_shape=Ids(90)), SERIES):
        assert "augment" not in zoo.get("tcn").settings_for(other)


def test_a_body_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "body.yaml"
    file.write_text("\ufeff- {conv: 8, kernel: 5}\n- gru: 16\n", "utf-8")
    body = Serial(Conv(8, kernel=5), GRU(16))
    assert zoo.from_file(file) == body
    file.write_text(body.to_json(), "utf-8")
    assert zoo.from_file(str(file)) == body
    assert zoo.from_yaml(body.to_yaml()) == body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- {conv: 8, kernal: 5}\n", r"body.yaml: .*kernal: no such field; did you mean 'kernel'\?"),
        (b"- {conv: -8}\n", "body.yaml: .*features: expected a value greater than 0, got -8"),
        (b"- [\n", "body.yaml: layer: is not YAML at line"),
        (b"\xff\xfe\x00", "body.yaml: could not be read: it is not UTF-8 text"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "body.yaml").write_bytes(content)
    with pytest.raises((SpecError, UsageError), match=message) as caught:
        zoo.from_file(tmp_path / "body.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="could not be read: No such file or directory; give a YAML spec or a name of the zoo"):
        zoo.from_file(tmp_path / "none.yaml")


def test_public_names() -> None:
    assert zoo.__all__ == sorted(zoo.__all__, key=lambda name: (not name.isupper(), name))
