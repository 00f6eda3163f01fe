"""YAML as people mean it: `1e-3` is a number, `010` is text, only true and false are booleans, no key comes twice. Knows no record."""

from __future__ import annotations

import re
from typing import Any

import yaml

from convrnn.core.errors import SpecError
from convrnn.core.language import tr


def read_yaml(text: str, where: str) -> Any:
    """Plain values from YAML 1.2-like text: `1e-3` is a number, only true and false are booleans.

    Raises:
        SpecError: the text is not YAML; the line is named.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise SpecError(where, tr("is nested too deeply to be read"), tr("write it flatter")) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = tr(" at line {number}", number=mark.line + 1) if mark else ""
        raise SpecError(where, tr("is not YAML{line}: {why}", line=line, why=getattr(error, "problem", error))) from error


def write_yaml(value: Any) -> str:
    """Text that `read_yaml` reads back: plain values, one entry of a stack a line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the numbers and booleans people mean, and no key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the base, which lets the last of two equal keys win."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes a stack one layer a line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)


_FLOAT = re.compile(r"^[-+]?(?:\d[\d_]*\.?\d*(?:[eE][-+]?\d+)|\d[\d_]*\.\d*|\.\d+(?:[eE][-+]?\d+)?|\.inf|\.nan)$")
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in found
        if tag not in {f"tag:yaml.org,2002:{kind}" for kind in ("float", "int", "bool", "timestamp")}
    ]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# Decimal only: YAML 1.1 reads 010 as eight and 10:30, a time of day, as 630.
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][\d_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
# The writer must quote the text "1e5", which YAML 1.1 takes for text and this reader for a number.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False)$"), list("tfTF"))
