"""What starting costs, in modules rather than seconds: what `import convrnn` and a first net may load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def loaded(program: str, root: Path) -> set[str]:
    """The modules that a program has loaded."""
    program = f"import sys\n{program}\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True).stdout.split())


def test_importing_the_package_loads_no_library(root: Path) -> None:
    found = loaded("import convrnn; convrnn.__all__", root)
    assert not found & {"torch", "numpy", "pydantic", "yaml", "typer", "sklearn"}
    assert {name for name in found if name.startswith("convrnn")} == {"convrnn"}


def test_a_first_net_loads_layers_only(root: Path) -> None:
    """0.35 s over `import torch` are spent on pydantic, YAML and the layers; nothing that trains, reads or draws belongs there."""
    found = loaded("import torch; before = set(sys.modules)\nimport convrnn as cr; cr.Serial(cr.Conv(8), cr.GRU(8)).build(3)", root)
    rooms = {name.split(".")[1] for name in found if name.startswith("convrnn.")}
    assert rooms == {"core", "kernels", "layers"}
    assert not found & {"sklearn", "matplotlib", "pandas", "rich", "pyarrow", "typer", "safetensors"}


def test_predicting_loads_no_training(root: Path) -> None:
    found = loaded("from convrnn import load", root)
    assert not {name for name in found if name.startswith(("convrnn.training", "convrnn.report", "convrnn.zoo", "convrnn.api"))}
    assert not found & {"sklearn", "matplotlib", "rich", "typer"}
