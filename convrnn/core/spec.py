"""Records: frozen, strict, registered descriptions that are stored as JSON and written by hand as YAML. Knows nothing of layers.

A record is a frozen dataclass, its fields checked strictly by pydantic, registered under a short name in a family ("layer", "task",
"modality", ...).

* stored form, every field written, so that a changed default never changes a saved model: `{"layer": "gru", "features": 64, ...}`
* YAML form, defaults omitted: `{gru: 64, bidirectional: true}`; a list is the family's stack; a bare name has no fields.

Loading looks names up in the registry; it imports and executes nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform, get_type_hints

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import ArgsKwargs, core_schema

from convrnn.core.checks import wanted_by
from convrnn.core.errors import SpecError
from convrnn.core.language import either, tr
from convrnn.core.yaml_text import read_yaml, write_yaml

# No infinity, no NaN: neither is JSON, and NaN is not equal to itself.
_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_REGISTRY: dict[str, dict[str, type[Record]]] = {}
_ANY_OF_FAMILY = "x-family"
_LISTED = 12
"""Names that a line of an error has room for."""
_R = TypeVar("_R", bound="Record")


class Record:
    """Base of everything that is stored by name.

    Attributes:
        family: which registry it belongs to; also the key that holds the name in the stored form.
        name: the registered name. It means the same thing for ever.
        positional: the fields that may be given without their name, in order.
        variadic: the one field that takes all positional arguments, if any.
        stack: whether it is the one of its family that a YAML list stands for; its place is left out of paths.
    """

    family: ClassVar[str] = ""
    name: ClassVar[str] = ""
    positional: ClassVar[tuple[str, ...]] = ()
    variadic: ClassVar[str | None] = None
    stack: ClassVar[bool] = False

    def check(self) -> None:
        """What no field can say alone; raises `SpecError`. Called once, at construction."""

    def to_dict(self) -> dict[str, Any]:
        """The stored form: plain JSON values, every field written."""
        return {self.family: self.name, **{f.name: _stored(getattr(self, f.name)) for f in _fields(type(self))}}

    def to_json(self, indent: int | None = 2) -> str:
        """The stored form as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent)

    def to_yaml(self) -> str:
        """The short form for people: defaults omitted, one entry a line."""
        return write_yaml(_short(self))

    @classmethod
    def from_dict(cls, stored: object) -> Self:
        """A record from its stored or short form (already parsed).

        Raises:
            SpecError: an unknown name or field, or a value that does not fit; the path to it is named.
        """
        record = _load(stored, cls.family)
        if not isinstance(record, cls):
            raise SpecError(cls.family, tr("expected a {name}, got {got}", name=cls.__name__, got=_shown(record)))
        return record

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A record from JSON text; raises `SpecError`."""
        try:
            stored = json.loads(text)
        except json.JSONDecodeError as error:
            raise SpecError(cls.family, tr("is not JSON: {why} at line {line}", why=error.msg, line=error.lineno)) from error
        return cls.from_dict(stored)

    @classmethod
    def from_yaml(cls, text: str) -> Self:
        """A record from YAML text; raises `SpecError`."""
        return cls.from_dict(read_yaml(text, cls.family))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema (2020-12) of the stored form of every registered record of the family."""
        definitions: dict[str, Any] = {}
        for name, record in sorted(_REGISTRY[cls.family].items()):
            schema = _adapter(record).json_schema(ref_template="#/$defs/{model}")
            definitions.update(schema.pop("$defs", {}))
            schema["properties"] = {cls.family: {"const": name}, **schema.get("properties", {})}
            schema["required"] = [cls.family, *schema.get("required", [])]
            definitions[name] = schema
        definitions[cls.family] = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in sorted(_REGISTRY[cls.family])]}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": f"#/$defs/{cls.family}",
            "$defs": _with_references(definitions),
        }

    def __repr__(self) -> str:
        named = _given(self)
        first = [repr(value) for value in named.pop(self.variadic)] if self.variadic in named else []
        first += [repr(named.pop(name)) for name in self.positional if name in named]
        return f"{type(self).__name__}({', '.join(first + [f'{name}={value!r}' for name, value in named.items()])})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """A concrete record is checked field by field; a field annotated with a family base takes any record of the family."""
        if cls.name:
            return handler(source)
        return core_schema.is_instance_schema(cls, cls_repr=f"a {cls.family}")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) if cls.name else {_ANY_OF_FAMILY: cls.family}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, Field))
def register(name: str) -> Callable[[type[_R]], type[_R]]:
    """Class decorator: makes a `Record` subclass a frozen, strict dataclass and enters it in its family's registry.

    Raises:
        ValueError: the name is taken, or a field bears the name of a record of the family (key order in YAML would matter).
    """

    def enter(cls: type[_R]) -> type[_R]:
        cls.name = name
        made = cast(type[_R], dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls))
        made.__init__ = _construct
        fields = _fields(made)
        made.positional = tuple(f.name for f in fields if not f.kw_only)
        registry = _REGISTRY.setdefault(cls.family, {})
        if name in registry:
            raise ValueError(f"the {cls.family} {name!r} is registered already, as {registry[name].__name__}")
        for other, fields_of in {**registry, name: made}.items():
            clash = {f.name for f in _fields(fields_of)} & {*registry, name, cls.family}
            if clash:
                raise ValueError(f"{cls.family} {other!r}: a field may not bear a registered name: {', '.join(sorted(clash))}")
        registry[name] = made
        return made

    return enter


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, Field))
def fields_for_subclasses(cls: type[_R]) -> type[_R]:
    """Class decorator for a base that is not registered itself but declares fields its subclasses share."""
    return dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls)


def registered(family: str) -> Mapping[str, type[Record]]:
    """Every record of a family by name."""
    return dict(sorted(_REGISTRY.get(family, {}).items()))


def unknown_name(where: str, name: object, known: list[str]) -> SpecError:
    """The error for a name that is not registered, with the nearest that is."""
    near = difflib.get_close_matches(str(name), known, n=1)
    some = ", ".join(known[:_LISTED])
    some = tr("{listed} and {more} more", listed=some, more=len(known) - _LISTED) if len(known) > _LISTED else some
    remedy = tr("did you mean {near!r}?", near=near[0]) if near else tr("known: {names}", names=some)
    return SpecError(where, tr("unknown name {name}", name=_shown(name)), remedy)


# ---- construction


@functools.cache
def _adapter(cls: type[Record]) -> TypeAdapter[Any]:
    """The checks of a record's fields, made on first use: importing a package of specs builds no validator."""
    cls.__pydantic_config__ = _CONFIG  # type: ignore[attr-defined]  (where pydantic looks for it on a plain dataclass)
    return TypeAdapter(cls)


def _construct(self: Record, *args: Any, **fields: Any) -> None:
    """The constructor of every record: variadic positional arguments, strict checks, one line of ours for an error."""
    cls = type(self)
    if cls.variadic and args:
        args, fields = (), {cls.variadic: args, **fields}
    try:
        _adapter(cls).validator.validate_python(ArgsKwargs(args, fields), self_instance=self)
    except ValidationError as error:
        raise _spec_error(cls, error) from None
    self.check()


def _spec_error(cls: type[Record], error: ValidationError) -> SpecError:
    first = error.errors()[0]
    kind = first["type"]
    names = [f.name for f in _fields(cls)]
    place = _place(cls, first["loc"])
    where = ".".join([cls.name, *place])
    if kind == "unexpected_positional_argument":
        return SpecError(
            cls.name,
            tr("takes {count} value(s) without a name, got {got} more", count=len(cls.positional), got=_shown(first["input"])),
            tr("fields: {names}", names=", ".join(names)),
        )
    if kind == "unexpected_keyword_argument":
        near = difflib.get_close_matches(place[-1], names, n=1)
        return SpecError(
            where,
            tr("no such field"),
            tr("did you mean {near!r}?", near=near[0]) if near else tr("fields: {names}", names=", ".join(names) or tr("none")),
        )
    if kind in ("missing_argument", "missing"):
        return SpecError(where, tr("is missing"), tr("give {name}({place}=...)", name=cls.__name__, place=place[-1]))
    # A union reports one error for each of its members: join what would have been right.
    same = [e for e in error.errors() if _place(cls, e["loc"])[:1] == place[:1]]
    wanted = list(dict.fromkeys(map(wanted_by, same)))
    return SpecError(where, tr("expected {wanted}, got {got}", wanted=either(wanted), got=_shown(first["input"])))


def _shown(value: object) -> str:
    """What the user gave, cut so that the message stays a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _place(cls: type[Record], location: tuple[int | str, ...]) -> list[str]:
    """Field name and index in it, without pydantic's names for the members of a union."""
    if not location:
        return []
    head, *rest = location
    if isinstance(head, int):
        head = cls.positional[head] if head < len(cls.positional) else str(head)
    return [head, *(str(part) for part in rest if isinstance(part, int))]


def _with_references(schema: Any) -> Any:
    """Fields that take any record of a family refer to the definition of the family."""
    if isinstance(schema, dict):
        if _ANY_OF_FAMILY in schema:
            return {"$ref": f"#/$defs/{schema[_ANY_OF_FAMILY]}"}
        return {key: _with_references(value) for key, value in schema.items()}
    return [_with_references(item) for item in schema] if isinstance(schema, list) else schema


# ---- stored form and short form


def _fields(cls: type[Record]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]  (a registered record is a dataclass)


def _given(record: Record) -> dict[str, Any]:
    """Fields whose value is not the default, in order of declaration."""
    values = {f.name: (getattr(record, f.name), f) for f in _fields(type(record))}
    return {
        name: value
        for name, (value, f) in values.items()
        if f.default is dataclasses.MISSING or value != f.default or type(value) is not type(f.default)
    }


def _stored(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_stored(item) for item in value]
    return value


def _short(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_short(item) for item in value]
    if not isinstance(value, Record):
        return value
    fields = {name: _short(item) for name, item in _given(value).items()}
    key = value.variadic or (value.positional[0] if value.positional else None)
    if value.stack:
        return fields.get(value.variadic or "", [])
    if not fields:
        return value.name
    return {value.name: fields.pop(key) if key in fields else {}, **fields}


def _load(form: object, family: str) -> Record:
    if isinstance(form, Record):
        return form
    registry = _REGISTRY.get(family, {})
    if isinstance(form, list):
        stack = next((record for record in registry.values() if record.stack), None)
        if stack is None:
            raise SpecError(family, tr("expected a mapping, got the list {got}", got=_shown(form)))
        return _make(stack, {stack.variadic or "": form})
    if isinstance(form, str):
        form = {form: {}}
    if not isinstance(form, dict) or not all(isinstance(key, str) for key in form):
        raise SpecError(family, tr("expected a name, a mapping or a list, got {got}", got=_shown(form)))
    if family in form:
        name, fields = form[family], {key: value for key, value in form.items() if key != family}
        if not isinstance(name, str) or name not in registry:
            raise unknown_name(family, name, sorted(registry))
        return _make(registry[name], fields)
    names = [key for key in form if key in registry]
    if len(names) != 1:
        raise (
            unknown_name(family, next(iter(form), ""), sorted(registry))
            if not names
            else SpecError(family, tr("expected one name, got {got}", got=names))
        )
    fields = {key: value for key, value in form.items() if key != names[0]}
    return _make(registry[names[0]], _with_positional(registry[names[0]], form[names[0]], fields))


def _with_positional(cls: type[Record], value: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """The value behind the name in the short form goes to the variadic or the first positional field; `{}` is none."""
    if value is None or value == {}:
        return fields
    key = cls.variadic or (cls.positional[0] if cls.positional else None)
    if key is None:
        raise SpecError(
            cls.name,
            tr("takes no value, got {got}", got=_shown(value)),
            tr("fields: {names}", names=", ".join(f.name for f in _fields(cls)) or tr("none")),
        )
    if key in fields:
        raise SpecError(f"{cls.name}.{key}", tr("is given twice"))
    return {key: value, **fields}


def _make(cls: type[Record], fields: dict[str, Any]) -> Record:
    nested = _record_fields(cls)
    try:
        made = {key: _nested(value, nested[key], key) if key in nested else _plain(value) for key, value in fields.items()}
    except SpecError as error:
        raise error if cls.stack else error.within(cls.name) from None
    return cls(**made)


def _nested(value: Any, family: str, key: str) -> Any:
    """A record, or a tuple of records for a field that holds several; the places carry their index."""
    several = family.endswith("*")
    family = family.rstrip("*")
    if value is None:
        return None
    if not several:
        return _load(value, family)
    if not isinstance(value, list | tuple):
        raise SpecError(key, tr("expected a list, got {got}", got=_shown(value)))
    loaded: list[Record] = []
    for index, item in enumerate(value):
        try:
            loaded.append(_load(item, family))
        except SpecError as error:
            raise error.within(str(index)) from None
    return tuple(loaded)


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else value


@functools.cache
def _record_fields(cls: type[Record]) -> dict[str, str]:
    """Fields that hold records: name -> family, with a star where the field holds a tuple of them."""
    found: dict[str, str] = {}
    for name, hint in get_type_hints(cls).items():
        several = getattr(hint, "__origin__", None) is tuple
        for part in (hint, *getattr(hint, "__args__", ())):
            if isinstance(part, type) and issubclass(part, Record):
                found[name] = part.family + ("*" if several else "")
    return found
