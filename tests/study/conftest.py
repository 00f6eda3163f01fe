"""Finished studies, made once and only to be read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from convrnn.study import stats
from tests.study.made import STUDIES, write_study


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of one of `STUDIES` with its statistics; only to be read."""

    @cache
    def folder(name: str) -> Path:
        place = write_study(tmp_path_factory.mktemp("studies") / name, STUDIES[name])
        stats.write(place)
        return place

    return folder


@pytest.fixture
def damaged(finished: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of `STUDIES`, to be damaged."""

    def copy(name: str) -> Path:
        return shutil.copytree(finished(name), tmp_path / name)

    return copy
