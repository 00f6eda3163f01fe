"""The JSON Schema of specs takes every stored form and refuses what a spec refuses. Read by a small validator: the package needs none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

import convrnn as cr
from convrnn.core.errors import SpecError
from convrnn.testing.cases import CASES


@dataclass(frozen=True)
class Schema:
    """The part of JSON Schema 2020-12 that ours is written in; a word it does not know is an error, not a pass."""

    whole: Mapping[str, Any]

    def valid(self, value: Any, schema: Mapping[str, Any]) -> bool:
        return all(self.holds(value, schema, word) for word in schema)

    def holds(self, value: Any, schema: Mapping[str, Any], word: str) -> bool:
        wanted = schema[word]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        match word:
            case "$ref":
                return self.valid(value, self.whole["$defs"][wanted.removeprefix("#/$defs/")])
            case "$defs" | "$schema" | "title" | "description" | "default":
                return True
            case "oneOf":
                return sum(self.valid(value, option) for option in wanted) == 1
            case "anyOf":
                return any(self.valid(value, option) for option in wanted)
            case "const":
                return value == wanted
            case "enum":
                return value in wanted
            case "type":
                return self.is_type(value, wanted)
            case "required":
                return not isinstance(value, dict) or all(name in value for name in wanted)
            case "properties":
                return not isinstance(value, dict) or all(self.valid(value[name], s) for name, s in wanted.items() if name in value)
            case "additionalProperties":
                assert wanted is False
                return not isinstance(value, dict) or set(value) <= set(schema["properties"])
            case "items":
                return not isinstance(value, list) or all(self.valid(item, wanted) for item in value)
            case "exclusiveMinimum":
                return not number or value > wanted
            case "minimum":
                return not number or value >= wanted
            case "exclusiveMaximum":
                return not number or value < wanted
            case "maximum":
                return not number or value <= wanted
            case _:
                raise AssertionError(f"unknown word {word!r}: {wanted!r}")

    @staticmethod
    def is_type(value: Any, name: str) -> bool:
        kinds = {"integer": int, "number": (int, float), "string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
        return isinstance(value, kinds[name]) and (name == "boolean" or not isinstance(value, bool))


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema(json.loads(json.dumps(cr.Spec.json_schema())))


@pytest.mark.parametrize("spec", [case.spec for case in CASES], ids=[case.name for case in CASES])
def test_the_schema_takes_what_is_stored(spec: cr.Spec, schema: Schema) -> None:
    assert schema.valid(spec.to_dict(), schema.whole)


@pytest.mark.parametrize(
    "stored",
    [
        {"layer": "grru", "features": 3},
        {"features": 3},
        {"layer": "gru"},
        {"layer": "gru", "features": 0},
        {"layer": "gru", "features": "3"},
        {"layer": "gru", "features": 3, "colour": 1},
        {"layer": "drop", "rate": 1.0},
        {"layer": "conv", "features": 3, "padding": "SAME"},
        {"layer": "serial", "layers": [{"layer": "gru", "features": -3}]},
        {"layer": "residual", "body": 3},
    ],
)
def test_the_schema_refuses_what_the_spec_refuses(stored: object, schema: Schema) -> None:
    assert not schema.valid(stored, schema.whole)
    with pytest.raises(SpecError):
        cr.Spec.from_dict(stored)
