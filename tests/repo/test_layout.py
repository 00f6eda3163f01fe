"""The shape of the repository: rooms and their arrows, ceilings, the public surface, the README's tree, clean files. Knows no behaviour."""

from __future__ import annotations

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import convrnn

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "convrnn"
LINES = {".py": 400, ".pyi": 400, ".cpp": 600, ".h": 600}
FUNCTION_LINES, MEDIAN_LINES = 80, 15


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is, or would be, committed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def package_sources(*suffixes: str) -> list[Path]:
    return [path for path in tracked() if path.suffix in suffixes and path.is_relative_to(PACKAGE)]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and number of lines of each function, decorators left out."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def test_arrows_between_rooms() -> None:
    """The contract in pyproject.toml, as `lint-imports` reads it."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None, no_cache=True))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_room_is_under_contract() -> None:
    layers = re.search(r"^layers = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert layers
    assert rooms() <= set(re.findall(r"convrnn\.(\w+)", layers[1]))


def test_ceilings_of_files() -> None:
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in package_sources(*LINES)}
    assert {str(path.relative_to(ROOT)): n for path, n in counts.items() if n > LINES[path.suffix]} == {}


def test_ceilings_of_functions() -> None:
    lengths = {name: lines for path in package_sources(".py") for name, lines in functions(path)}
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_LINES


def test_every_file_says_what_it_is() -> None:
    silent = [path for path in package_sources(".py", ".pyi") if parsed(path).body and not ast.get_docstring(parsed(path))]
    silent += [path for path in package_sources(".cpp", ".h") if not path.read_text(encoding="utf-8").startswith("//")]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def careless(path: Path) -> Iterator[str]:
    """Places that catch everything, ask for attributes by name, or put work off."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")):
            yield f"{path.relative_to(ROOT)}:{node.lineno} catches everything"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
            yield f"{path.relative_to(ROOT)}:{node.lineno} hasattr"
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT and re.search(r"\b(TODO|FIXME|XXX)\b", token.string):
            yield f"{path.relative_to(ROOT)}:{token.start[0]} {token.string}"


def test_nothing_careless() -> None:
    assert [place for path in package_sources(".py") for place in careless(path)] == []


def test_public_surface() -> None:
    """`__all__`, the lazy table and the typed twin hold the same names, and both ways lead to the same object."""
    twin = typed_twin()
    assert convrnn.__all__ == sorted(twin)
    assert sorted(vars(convrnn)["_HOME_OF"]) == sorted(twin)
    assert set(convrnn.__all__) <= set(dir(convrnn))
    for name, (module, original) in twin.items():
        assert getattr(convrnn, name) is getattr(import_module(module), original), name


def typed_twin() -> dict[str, tuple[str, str]]:
    """Public name -> (module, name there), from the imports `from module import name as name` of `__init__.pyi`."""
    imports = [node for node in parsed(PACKAGE / "__init__.pyi").body if isinstance(node, ast.ImportFrom)]
    return {a.asname: (i.module, a.name) for i in imports for a in i.names if a.asname and i.module}


@pytest.mark.parametrize("name", ["no_such_name", "torch", "_private"])
def test_unknown_public_name(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(convrnn, name)


def rooms() -> set[str]:
    return {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_readme_tree(readme: str) -> None:
    """The fenced tree has one line for each room, each with words after it, and no room that is not there."""
    fences = re.findall(r"^```[^\n]*\n(.*?)^```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    trees = [fence for fence in fences if re.search(r"^convrnn/", fence, re.MULTILINE)]
    assert len(trees) == 1, "expected one fenced tree with a line that begins with convrnn/"
    inside = trees[0][trees[0].index("convrnn/") :].splitlines()[1:]
    named = re.findall(r"^[ │├└─]+(\w+)/[ \t]+\S", "\n".join(inside), re.MULTILINE)
    assert sorted(named) == sorted(rooms())


def test_import_is_light() -> None:
    """`import convrnn` loads nothing heavy, and takes under 0.05 s at best of five."""
    code = (
        "import sys, time; start = time.perf_counter(); import convrnn; seconds = time.perf_counter() - start;"
        "print(seconds, *sorted({'torch', 'numpy', 'pydantic', 'typer', 'yaml', 'pandas'} & set(sys.modules)))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout for _ in range(5)]
    assert [run.split()[1:] for run in runs] == [[]] * 5
    assert min(float(run.split()[0]) for run in runs) < 0.05


def text_files() -> list[Path]:
    return [path for path in tracked() if b"\0" not in path.read_bytes()[:8192]]


def test_line_ends() -> None:
    unclean = [path for path in text_files() if (content := path.read_bytes()) and (b"\r" in content or not content.endswith(b"\n"))]
    assert [str(path.relative_to(ROOT)) for path in unclean] == []


def test_no_place_of_one_machine() -> None:
    """No path of a home or a checkout, no package host: such a file works in one place only."""
    places = [rf"(?<![\w.])/({'|'.join(('home', 'Users', 'root', 'work'))})/\w", r"pypi\.(org|io)", "python" + "hosted", r"npm" + r"js\."]
    pattern = re.compile("|".join([*places, re.escape(str(ROOT) + "/")]))
    found = [
        f"{path.relative_to(ROOT)}:{number} {match[0]}"
        for path in text_files()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := pattern.search(line))
    ]
    assert found == []


def test_every_layer_is_in_the_table_of_layers(root: Path) -> None:
    import convrnn.layers  # enters them
    from convrnn.core.spec import registered

    table = (root / "docs" / "layers.md").read_text(encoding="utf-8")
    names = registered("layer")
    missing = [name for name, spec in names.items() if f"`{name}`" not in table or f"`{spec.__name__}`" not in table]
    assert convrnn.layers and "conv" in names and not missing
