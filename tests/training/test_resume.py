"""A training that was killed and resumed ends with the same bits as one that was not. Knows no file of data."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from convrnn.core.errors import ConvrnnError, DataError, JobError, UsageError
from convrnn.training.hooks import Interrupted, Silent
from convrnn.training.settings import Settings


class Forks(Protocol):
    """See conftest."""

    def start(self, name: str, folder: Path, resume: bool, minutes: float | None = None) -> int: ...
    def wait(self) -> int: ...


def pointer(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "checkpoints" / "last.json").read_text())


def tensors(folder: Path, which: str) -> dict[str, Tensor]:
    return load_file(folder / "checkpoints" / pointer(folder)[which])


def assert_same_end(one: Path, other: Path) -> None:
    """Byte for byte: history, weights, optimizer, random states; and the course but for the time it took."""
    assert (one / "history.jsonl").read_bytes() == (other / "history.jsonl").read_bytes()
    for which in ("file", "best_file"):
        a, b = tensors(one, which), tensors(other, which)
        assert a.keys() == b.keys() and a
        assert [name for name in a if not torch.equal(a[name], b[name])] == []
    courses = [{**pointer(folder)["course"], "seconds": 0} for folder in (one, other)]
    assert courses[0] == courses[1]


def records(folder: Path) -> int:
    """Lines of the history so far."""
    path = folder / "history.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def alive(pid: int) -> bool:
    """Whether a training still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_and_resume(name: str, folder: Path, forks: Forks, kills: int, whole: int, draw: random.Random) -> int:
    """Kills a training at random moments, resumes it each time, lets the last one end; how many were killed before they were done.

    A moment is a place in the history of `whole` records and a few milliseconds: a slow machine is killed at the same places as a fast one.
    """
    killed = 0
    for attempt, place in enumerate(sorted(draw.randrange(max(1, whole * 3 // 4)) for _ in range(kills))):
        pid = forks.start(name, folder, attempt > 0, 1e-4)
        while records(folder) < place and alive(pid):
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.05))
        with suppress(ProcessLookupError):  # it was done before
            os.kill(pid, signal.SIGKILL)
        killed += forks.wait() == -signal.SIGKILL
    forks.start(name, folder, True)
    assert forks.wait() == 0
    return killed


def uninterrupted(name: str, folder: Path, forks: Forks) -> int:
    """Records in the history of a training without mid-epoch checkpoints."""
    forks.start(name, folder, False)
    assert forks.wait() == 0
    return records(folder)


@pytest.mark.parametrize("name", ["series", "text"])
def test_killed_and_resumed(name: str, forks: Forks, tmp_path: Path) -> None:
    whole = uninterrupted(name, tmp_path / "whole", forks)
    assert kill_and_resume(name, tmp_path / "killed", forks, 4, whole, random.Random(name)) > 0
    assert_same_end(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.full
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", ["series", "text"])
def test_killed_at_many_moments(name: str, seed: int, forks: Forks, tmp_path: Path) -> None:
    whole = uninterrupted(name, tmp_path / "whole", forks)
    assert kill_and_resume(name, tmp_path / "killed", forks, 12, whole, random.Random(seed)) > 0
    assert_same_end(tmp_path / "whole", tmp_path / "killed")


class StopAt(Silent):
    """Presses Ctrl-C in every look; looks come after each step."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place = epoch, step

    def step(self, epoch: int, step: int, loss: float, rate: float) -> None:
        """Once the place is reached."""
        if (epoch, step) == self.place:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("name", ["series", "text"])
@pytest.mark.parametrize("place", [(1, 1), (2, 3), (3, 7)])
def test_every_place_of_an_interruption(
    name: str, place: tuple[int, int], made: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in mid-epoch writes a checkpoint that holds the step; going on from it ends as if nothing had been."""
    monkeypatch.setattr("convrnn.training.loop.LOOK", 0.0)
    whole, cut = made.MADE[name](), made.MADE[name]()
    made.run(whole, tmp_path / "whole")
    with pytest.raises(Interrupted, match=r"^interrupted (in epoch \d, after step \d+ of 8|after epoch \d); go on with --resume "):
        made.run(cut, tmp_path / "cut", watch=StopAt(*place))
    assert (pointer(tmp_path / "cut")["course"]["epoch"] + 1, pointer(tmp_path / "cut")["course"]["step"]) in [
        (place[0], place[1]),
        (place[0], place[1] + 1),
    ]
    fresh = made.MADE[name]()
    fitted = made.run(fresh, tmp_path / "cut", resume=True)
    assert_same_end(tmp_path / "whole", tmp_path / "cut")
    assert fitted.history == [json.loads(line) for line in (tmp_path / "cut" / "history.jsonl").read_text().splitlines()]
    for key, value in whole.net.state_dict().items():
        assert torch.equal(value, fresh.net.state_dict()[key]), key


def test_interrupted_without_a_folder(made: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convrnn.training.loop.LOOK", 0.0)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="nothing is kept without a folder"):
        made.run(made.series(), watch=StopAt(1, 2))
    assert signal.getsignal(signal.SIGINT) is before


def test_resume_of_a_finished_training_changes_nothing(made: ModuleType, tmp_path: Path) -> None:
    first, again = made.series(), made.series()
    fitted = made.run(first, tmp_path)
    before = (tmp_path / "history.jsonl").read_bytes(), (tmp_path / "checkpoints" / "last.json").read_bytes()
    refitted = made.run(again, tmp_path, resume=True)
    assert ((tmp_path / "history.jsonl").read_bytes(), (tmp_path / "checkpoints" / "last.json").read_bytes()) == before
    assert (refitted.why, refitted.best_epoch, refitted.history) == (fitted.why, fitted.best_epoch, fitted.history)
    assert all(torch.equal(a, b) for a, b in zip(first.net.parameters(), again.net.parameters(), strict=True))


def test_resume_before_the_first_checkpoint_begins_anew(made: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"step": 1, "epo')
    made.run(made.series(), tmp_path, resume=True)
    made.run(made.series(), tmp_path / "whole")
    assert_same_end(tmp_path, tmp_path / "whole")


def test_a_folder_with_a_training_is_not_overwritten(made: ModuleType, tmp_path: Path) -> None:
    made.run(made.series(), tmp_path)
    before = (tmp_path / "history.jsonl").read_bytes()
    with pytest.raises(UsageError, match="holds a training already; resume it, or choose another folder"):
        made.run(made.series(), tmp_path)
    assert (tmp_path / "history.jsonl").read_bytes() == before


def test_minutes_between_checkpoints_may_change(made: ModuleType, tmp_path: Path, change: Callable[..., Settings]) -> None:
    one = made.series()
    made.run(one, tmp_path)
    made.run(one._replace(settings=change(one.settings, checkpoint_minutes=1.0)), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("settings", r"^training\.rate: the training began with 0\.02, got 0\.5; resume with what it began with"),
        ("data", r"^training part: is not the one that the training began with; "),
        ("valid", r"^validation part: is not the one"),
        ("task", r"^task: the training began with "),
        ("net", r"^model\.layers\.0\.layers\.0\.\w+: the training began with \[.*\], got \[.*\]; "),
    ],
)
def test_resume_with_something_else(what: str, message: str, made: ModuleType, tmp_path: Path, change: Callable[..., Settings]) -> None:
    made.run(made.series(), tmp_path)
    other = made.series()
    match what:
        case "settings":
            other = other._replace(settings=change(other.settings, rate=0.5))
        case "data":
            other = other._replace(train=made.series(seed=1).train)
        case "valid":
            other = other._replace(valid=other.valid._replace(targets=1 - other.valid.targets))
        case "task":
            other = other._replace(task=type(other.task)(("0", "1")))
        case _:
            body = made.Serial(made.Conv(7), made.GRU(6))
            other = other._replace(net=made._built(body, other.task, (1,)))
    with pytest.raises(DataError, match=message):
        made.run(other, tmp_path, resume=True)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("lost", ["last.json", "last tensors", "best tensors", "history"])
def test_damaged_checkpoints(lost: str, made: ModuleType, tmp_path: Path) -> None:
    made.run(made.series(), tmp_path)
    names = pointer(tmp_path)
    place = tmp_path / "checkpoints"
    path = {
        "last.json": place / "last.json",
        "last tensors": place / names["file"],
        "best tensors": place / names["best_file"],
        "history": tmp_path / "history.jsonl",
    }[lost]
    damage(path)
    with pytest.raises(JobError) as caught:
        made.run(made.series(), tmp_path, resume=True)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_version(made: ModuleType, tmp_path: Path) -> None:
    made.run(made.series(), tmp_path)
    path = tmp_path / "checkpoints" / "last.json"
    path.write_text(json.dumps({**pointer(tmp_path), "version": 0}))
    with pytest.raises(DataError, match="expected a checkpoint of version 1"):
        made.run(made.series(), tmp_path, resume=True)


def test_resume_needs_a_folder(made: ModuleType) -> None:
    with pytest.raises(UsageError, match="resume: needs the folder"):
        made.run(made.series(), None, resume=True)


@pytest.mark.parametrize("at", [3, 8, 13])
def test_full_disk(at: int, made: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space for the file number `at`: one line, exit code 1, and what is there can be resumed to the same end."""
    made.run(made.series(), tmp_path / "whole")
    written = 0
    flush = os.fsync

    def full(handle: int) -> None:
        nonlocal written
        written += 1
        if written >= at:
            raise OSError(28, "No space left on device")
        flush(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(JobError, match="could not be written: No space left on device; free some space") as caught:
            made.run(made.series(), tmp_path / "cut")
    assert isinstance(caught.value, ConvrnnError) and caught.value.exit_code == 1
    assert [path.name for path in (tmp_path / "cut").rglob("*.part")] == []
    made.run(made.series(), tmp_path / "cut", resume=True)
    assert_same_end(tmp_path / "whole", tmp_path / "cut")
