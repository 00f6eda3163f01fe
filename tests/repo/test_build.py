"""Building the package: with a compiler, without one, and with the fallback turned off. Nothing is fetched; the tree is copied first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
NO_COMPILER = {"CXX": str(Path(sys.executable).with_name("no-such-compiler"))}


def build(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Builds a wheel from a copy of the tree into `folder`."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "convrnn", source / "convrnn", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    chosen = ("CONVRNN_NATIVE", "CXX", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")
    settings = {name: value for name, value in os.environ.items() if name not in chosen}
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-build-isolation", "--no-deps", "-w", str(folder), str(source)]
    return subprocess.run(command, env=settings | environment, capture_output=True, text=True)


def wheel(folder: Path) -> tuple[str, list[str]]:
    """Name and contents of the one wheel in `folder`."""
    (path,) = folder.glob("*.whl")
    with ZipFile(path) as archive:
        return path.name, archive.namelist()


def test_without_a_compiler_it_installs_in_pure_python(tmp_path: Path) -> None:
    result = build(tmp_path, NO_COMPILER)
    assert result.returncode == 0, result.stdout + result.stderr
    name, files = wheel(tmp_path)
    assert name.endswith("-py3-none-any.whl")
    assert "convrnn/kernels/native.py" in files
    assert "convrnn/py.typed" in files
    assert not [file for file in files if "_native." in file and not file.endswith(".pyi")]


def test_required_native_code_does_not_fall_back(tmp_path: Path) -> None:
    result = build(tmp_path, NO_COMPILER | {"CONVRNN_NATIVE": "require"})
    assert result.returncode != 0
    assert "CMake configuration failed" in result.stdout + result.stderr
    assert list(tmp_path.glob("*.whl")) == []


def test_turned_off_it_does_not_even_try(tmp_path: Path) -> None:
    result = build(tmp_path, {"CONVRNN_NATIVE": "off"})
    assert result.returncode == 0, result.stdout + result.stderr
    assert wheel(tmp_path)[0].endswith("-py3-none-any.whl")


@pytest.mark.full
def test_with_a_compiler_the_wheel_holds_the_module_and_no_sources(tmp_path: Path) -> None:
    result = build(tmp_path, {"CONVRNN_NATIVE": "require"})
    assert result.returncode == 0, result.stdout + result.stderr
    name, files = wheel(tmp_path)
    assert not name.endswith("-any.whl")
    assert [file for file in files if file.startswith("convrnn/kernels/_native.") and not file.endswith(".pyi")]
    assert not [file for file in files if "csrc" in file]
