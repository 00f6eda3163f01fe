"""Specs: three written forms that come back the same, numbers as people mean them, one line that names the field for what is wrong."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Annotated, Any, ClassVar

import pytest
import torch
from pydantic import Field

import convrnn as cr
from convrnn.core.errors import SpecError
from convrnn.core.spec import Record, register, registered
from convrnn.core.yaml_text import read_yaml
from convrnn.testing.cases import CASES

SPECS = {case.name: case.spec for case in CASES}
by_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


# ---- the three forms


@by_spec
def test_every_form_comes_back(spec: cr.Spec) -> None:
    names = {name: getattr(cr, name) for name in cr.__all__}
    for copy in (
        cr.Spec.from_json(spec.to_json()),
        cr.Spec.from_yaml(spec.to_yaml()),
        eval(repr(spec), names),
        pickle.loads(pickle.dumps(spec)),
    ):
        assert copy == spec
        assert hash(copy) == hash(spec)
        assert type(copy) is type(spec)


@by_spec
def test_modules_travel_between_processes(spec: cr.Spec) -> None:
    """Data-parallel training and scikit-learn's workers pickle the module."""
    case = next(case for case in CASES if case.spec is spec)
    net = case.build()
    copy = pickle.loads(pickle.dumps(net))
    assert [name for name, _ in copy.named_parameters()] == [name for name, _ in net.named_parameters()]


@by_spec
def test_the_stored_form_writes_every_field(spec: cr.Spec) -> None:
    """So that a changed default never changes a saved model."""

    def check(stored: Any, record: Any) -> None:
        if isinstance(record, Record):
            assert set(stored) == {"layer", *(name for name in vars(record))}
            assert stored["layer"] == record.name
            for name in vars(record):
                check(stored[name], getattr(record, name))
        elif isinstance(record, tuple):
            for a, b in zip(stored, record, strict=True):
                check(a, b)
        else:
            assert stored == record

    check(spec.to_dict(), spec)
    assert json.loads(spec.to_json()) == spec.to_dict()


def test_the_short_forms_are_short() -> None:
    spec = cr.Serial(cr.Conv(32, kernel=5, stride=2, padding="causal"), cr.Activation(), cr.GRU(64, bidirectional=True), cr.Linear(10))
    assert repr(spec) == "Serial(Conv(32, kernel=5, stride=2, padding='causal'), Activation(), GRU(64, bidirectional=True), Linear(10))"
    assert (
        spec.to_yaml()
        == "- {conv: 32, kernel: 5, stride: 2, padding: causal}\n- activation\n- {gru: 64, bidirectional: true}\n- {linear: 10}\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{gru: 64, reset: before, layers: 2}",
        "{layers: 2, reset: before, gru: 64}",
        "layers: 2\ngru: 64\nreset: before",
        "{gru: {}, features: 64, layers: 2, reset: before}",
        "{layer: gru, features: 64, layers: 2, reset: before}",
    ],
)
def test_the_order_of_keys_does_not_matter(text: str) -> None:
    assert cr.Spec.from_yaml(text) == cr.GRU(64, layers=2, reset="before")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("[]", cr.Serial()),
        ("[[{conv: 3}], fold]", cr.Serial(cr.Serial(cr.Conv(3)), cr.Fold())),
        ("fold", cr.Fold()),
        ("{fold: }", cr.Fold()),
        ("{residual: [{conv: 3}, relu_is_not_a_name]}", None),
        ("{residual: {conv: 3}}", cr.Residual(cr.Conv(3))),
        ("{parallel: [{conv: 3}, [{gru: 3}]], merge: add}", cr.Parallel(cr.Conv(3), cr.Serial(cr.GRU(3)), merge="add")),
        ("{conv: 3, kernel: [3, 5]}", cr.Conv(3, kernel=(3, 5))),
        ("{pool: {}, windows: 3}", cr.Pool(windows=3)),
    ],
)
def test_stacks_and_nesting(text: str, spec: cr.Spec | None) -> None:
    if spec is None:
        with pytest.raises(SpecError, match=r"^residual\.1\.layer: unknown name 'relu_is_not_a_name'"):
            cr.Spec.from_yaml(text)
    else:
        assert cr.Spec.from_yaml(text) == spec


# ---- values as people mean them


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-2.5e+10", -2.5e10),
        (".5", 0.5),
        ("3.", 3.0),
        ("3", 3),
        ("-3", -3),
        ("1_000", 1000),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("off", "off"),
        ("010", "010"),
        ("10:30", "10:30"),
        ("2024-01-01", "2024-01-01"),
        ("0x10", "0x10"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("'1e-3'", "1e-3"),
        ("好", "好"),
        ("null", None),
        ("~", None),
    ],
)
def test_scalars(text: str, value: object) -> None:
    got = read_yaml(text, "x")
    assert got == value
    assert type(got) is type(value)


@register("said")
class Said(Record):
    """A record that holds text, to be written and read back."""

    family: ClassVar[str] = "test of specs"
    text: tuple[str, ...] = ()
    share: Annotated[float, Field(gt=0)] = 0.5


@pytest.mark.parametrize(
    "text", ["1e5", "1e-3", "010", "10:30", "yes", "true", "null", "", " ", "0x10", ".5", "3", "- a", "好: 坏", "#", "2024-01-01"]
)
def test_text_stays_text_in_yaml(text: str) -> None:
    """The writer quotes whatever the reader would take for something else: class names may be numbers."""
    assert Said.from_yaml(Said(text=(text,)).to_yaml()) == Said(text=(text,))


@pytest.mark.parametrize("share", [1e-05, 1e22, 0.1, 123456.789, 5e-324])
def test_numbers_come_back_to_the_bit(share: float) -> None:
    assert Said.from_yaml(Said(share=share).to_yaml()).share == share
    assert Said.from_json(Said(share=share).to_json()).share == share


def test_a_spec_is_a_frozen_value() -> None:
    spec = cr.GRU(4)
    with pytest.raises(FrozenInstanceError):
        spec.features = 5  # pyright: ignore[reportAttributeAccessIssue]  (the point)
    assert replace(spec, features=5) == cr.GRU(5)
    assert {spec: 1}[cr.GRU(4)] == 1
    with pytest.raises(SpecError, match=r"^gru\.features: expected a value greater than 0, got -1$"):
        replace(spec, features=-1)


# ---- what is wrong, in one line

Make = Callable[[], object]

BAD: dict[str, tuple[Make, str]] = {
    "zero": (lambda: cr.Conv(0), "conv.features: expected a value greater than 0, got 0"),
    "text for a number": (lambda: cr.Conv("4"), "conv.features: expected integer, got '4'"),  # pyright: ignore[reportArgumentType]
    "a fraction": (lambda: cr.Conv(4.0), "conv.features: expected integer, got 4.0"),  # pyright: ignore[reportArgumentType]
    "a boolean": (lambda: cr.Conv(True), "conv.features: expected integer, got True"),
    "missing": (lambda: cr.Conv(), "conv.features: is missing; give Conv(features=...)"),  # pyright: ignore[reportCallIssue]
    "too many": (
        lambda: cr.Linear(10, 5),  # pyright: ignore[reportCallIssue]
        "linear: takes 1 value(s) without a name, got 5 more; fields: features, bias, init",
    ),
    "a typing error": (lambda: cr.Conv(4, kernal=3), "conv.kernal: no such field; did you mean 'kernel'?"),  # pyright: ignore[reportCallIssue]
    "no such field": (
        lambda: cr.Linear(4, colour=3),  # pyright: ignore[reportCallIssue]
        "linear.colour: no such field; fields: features, bias, init",
    ),
    "one of several": (lambda: cr.Conv(4, kernel=(3, 0)), "conv.kernel: expected integer or a value greater than 0, got (3, 0)"),
    "not a choice": (
        lambda: cr.Conv(4, padding="SAME"),  # pyright: ignore[reportArgumentType]
        "conv.padding: expected 'same', 'causal' or 'valid', got 'SAME'",
    ),
    "groups": (lambda: cr.Conv(4, groups=3), "conv.groups: expected a divisor of features=4, got 3"),
    "separable groups": (
        lambda: cr.Conv(4, groups=2, separable=True),
        "conv.groups: expected 1 with separable=True, got 2; leave groups out",
    ),
    "a rate of one": (lambda: cr.Dropout(1.0), "drop.rate: expected a value less than 1, got 1.0"),
    "not a number": (lambda: cr.Dropout(float("nan")), "drop.rate: expected a finite number, got nan"),
    "infinity": (lambda: cr.LSTM(4, forget_bias=float("inf")), "lstm.forget_bias: expected a finite number, got inf"),
    "dropout of one layer": (
        lambda: cr.LSTM(4, dropout=0.5),
        "lstm.dropout: acts between stacked layers, got layers=1; put Dropout behind the layer, or set layers=2",
    ),
    "merge of one direction": (
        lambda: cr.GRU(4, merge="sum"),
        "gru.merge: joins two directions, got 'sum' with one; set bidirectional=True",
    ),
    "window and windows": (lambda: cr.Pool(2, windows=3), "pool: expected one of window and windows; give Pool(2) or Pool(windows=4)"),
    "neither": (lambda: cr.Pool(), "pool: expected one of window and windows; give Pool(2) or Pool(windows=4)"),
    "windows and stride": (
        lambda: cr.Pool(windows=3, stride=2),
        "pool: windows=n fixes the windows of each row; leave stride and partial out",
    ),
    "size of a mean": (
        lambda: cr.GlobalPool("mean", size=3),
        "global_pool.size: belongs to kind='attention', got kind='mean'; leave size out",
    ),
    "momentum": (lambda: cr.BatchNorm(momentum=2), "batch_norm.momentum: expected a value less than or equal to 1, got 2"),
    "no value": (lambda: cr.LayerNorm(1e-5), "layer_norm: takes 0 value(s) without a name, got 1e-05 more; fields: epsilon"),  # pyright: ignore[reportCallIssue]
    "one branch": (lambda: cr.Parallel(cr.Conv(4)), "parallel.branches: expected at least two, got 1"),
    "not a layer": (lambda: cr.Serial(cr.Conv(4), torch.nn.ReLU()), "serial.layers.1: expected a layer, got ReLU()"),  # pyright: ignore[reportArgumentType]
    "no body": (lambda: cr.Residual(), "residual.body: is missing; give Residual(body=...)"),  # pyright: ignore[reportCallIssue]
    "a long value": (
        lambda: cr.Conv(list(range(1000))),  # pyright: ignore[reportArgumentType]
        "conv.features: expected integer, got [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16...",
    ),
}

BAD_YAML: dict[str, str] = {
    "grru: 4": "layer: unknown name 'grru'; did you mean 'gru'?",
    "[{conv: 4}, {gru: 4, bidirectonal: true}]": "1.gru.bidirectonal: no such field; did you mean 'bidirectional'?",
    "[{conv: 4}, {residual: [{conv: 4}, {lstm: many}]}]": "1.residual.1.lstm.features: expected integer, got 'many'",
    "conv: [4": "layer: is not YAML at line 1: expected ',' or ']', but got '<stream end>'",
    "a: 1\n b: 2": "layer: is not YAML at line 2: mapping values are not allowed here",
    "": "layer: expected a name, a mapping or a list, got None",
    "3": "layer: expected a name, a mapping or a list, got 3",
    "{3: 4}": "layer: expected a name, a mapping or a list, got {3: 4}",
    "[{conv: 4}, 3]": "1.layer: expected a name, a mapping or a list, got 3",
    "{gru: 3, lstm: 4}": "layer: expected one name, got ['gru', 'lstm']",
    "{parallel: {conv: 3}}": "parallel.branches: expected a list, got {'conv': 3}",
    "{gru: 4, features: 5}": "gru.features: is given twice",
    "{conv: 4, conv: 5}": "layer: is not YAML at line 1: 'conv' is given twice",
    "{layer_norm: 3}": "layer_norm: takes no value, got 3; fields: epsilon",
    "{conv: 4, kernel: 1e-3}": "conv.kernel: expected integer or tuple, got 0.001",
    "{gru: 4, bidirectional: yes}": "gru.bidirectional: expected boolean, got 'yes'",
    "{layer: gru}": "gru.features: is missing; give GRU(features=...)",
    "{residual: conv}": "residual.conv.features: is missing; give Conv(features=...)",
    "!!python/object:os.system x": (
        "layer: is not YAML at line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"
    ),
}


def one_line(error: SpecError) -> str:
    line = str(error)
    assert "\n" not in line
    assert len(line) < 200
    return line


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_a_bad_field_is_named(make: Make, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        make()
    assert one_line(raised.value) == message


@pytest.mark.parametrize(("text", "message"), BAD_YAML.items())
def test_bad_text_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        cr.Spec.from_yaml(text)
    assert one_line(raised.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "layer: is not JSON: Expecting property name enclosed in double quotes at line 1"),
        ('{"layer": "serial", "layers": [{"layer": "conv"}]}', "0.conv.features: is missing; give Conv(features=...)"),
    ],
)
def test_bad_json_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        cr.Spec.from_json(text)
    assert one_line(raised.value) == message


def test_an_unknown_name_without_a_neighbour_lists_what_there_is() -> None:
    with pytest.raises(SpecError) as raised:
        cr.Spec.from_yaml("zzz")
    names = sorted(registered("layer"))
    assert one_line(raised.value) == f"layer: unknown name 'zzz'; known: {', '.join(names[:12])} and {len(names) - 12} more"


def test_a_spec_of_another_kind_is_refused() -> None:
    with pytest.raises(SpecError) as raised:
        cr.GRU.from_yaml("{lstm: 3}")
    assert one_line(raised.value) == "layer: expected a GRU, got LSTM(3)"


def test_a_name_means_one_thing_for_ever() -> None:
    with pytest.raises(ValueError, match="the test of specs 'said' is registered already, as Said"):
        register("said")(type("Again", (Record,), {"family": "test of specs", "__annotations__": {}}))


def test_a_field_may_not_bear_a_registered_name() -> None:
    """Else the order of keys in YAML would matter: `{said: ..., other: ...}`."""
    before = dict(registered("test of specs"))
    with pytest.raises(ValueError, match="'clash': a field may not bear a registered name: said"):
        register("clash")(type("Clash", (Record,), {"family": "test of specs", "__annotations__": {"said": int}, "said": 3}))
    assert dict(registered("test of specs")) == before


def test_reading_runs_nothing() -> None:
    """A tag that names code is refused by the reader, whatever it stands on."""
    with pytest.raises(SpecError, match="could not determine a constructor"):
        read_yaml("x: !!python/name:os.system", "x")
