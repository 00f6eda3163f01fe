"""Worker processes: every order ends once, a death is an answer, Ctrl-C reaches all, none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from convrnn.study.workers import Crew, Hire, Order

HERE = str(Path(__file__).parent)


@pytest.fixture
def hire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hire:
    monkeypatch.syspath_prepend(HERE)
    return Hire("obedient", tmp_path / "workers.log")


def ends(crew: Crew, orders: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    for number, what in enumerate(orders):
        crew.give(Order((number,), what))
    return {event.order.turn[0]: dict(event.message) for event in crew.events() if event.message and "ended" in event.message}


def test_every_order_is_done_once_and_processes_are_used_again(hire: Hire) -> None:
    with Crew(hire, 2) as crew:
        found = ends(crew, [{"value": n} for n in range(6)])
    assert [found[n]["value"] for n in range(6)] == list(range(6))
    assert len({each["process"] for each in found.values()}) <= 2
    assert {each["threads"] for each in found.values()} == {"1"}


def test_orders_are_given_out_by_their_turn_and_more_may_follow(hire: Hire) -> None:
    begun: list[int] = []
    with Crew(hire, 1) as crew:
        crew.give(Order((9,), {"sleep": 0.1}))
        for event in crew.events():
            if event.message is None:
                begun.append(event.order.turn[0])
                for turn in (3, 2) if len(begun) == 1 else ():
                    crew.give(Order((turn,), {}))
    assert begun == [9, 2, 3]


def test_one_that_dies_is_told_of_and_the_others_go_on(hire: Hire) -> None:
    with Crew(hire, 2) as crew:
        found = ends(crew, [{"signal": signal.SIGKILL}, {"value": 1}, {"exit": 3}, {"value": 2}, {"half": True}])
    assert found[0] == {"ended": "died", "why": "its process was killed (out of memory?)"}
    assert found[2] == {"ended": "died", "why": f"its process ended with exit code 3, see {hire.log}"}
    assert found[4] == {"ended": "died", "why": f"its process ended with exit code 4, see {hire.log}"}
    assert (found[1]["value"], found[3]["value"]) == (1, 2)


def test_an_error_here_interrupts_them(hire: Hire) -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Crew(hire, 2) as crew:
        crew.give(Order((0,), {"sleep": 30}))
        for event in crew.events():
            if event.message is not None:
                raise KeyboardInterrupt
    assert time.monotonic() - began < 20


def test_a_worker_that_cannot_be_started_is_no_endless_wait(tmp_path: Path) -> None:
    with Crew(Hire("no_such_module_at_all", tmp_path / "workers.log"), 1) as crew:
        assert ends(crew, [{}])[0]["why"] == f"its process ended with exit code 1, see {tmp_path / 'workers.log'}"
    assert "no_such_module_at_all" in (tmp_path / "workers.log").read_text()


def test_none_outlives_its_parent(tmp_path: Path, root: Path) -> None:
    program = f"""
import sys, pathlib
sys.path.insert(0, {HERE!r})
from convrnn.study.workers import Crew, Hire, Order
with Crew(Hire("obedient", pathlib.Path({str(tmp_path / "log")!r})), 1) as crew:
    crew.give(Order((0,), {{}}))
    for event in crew.events():
        if event.message and "process" in event.message:
            print(event.message["process"], flush=True)
            crew.give(Order((1,), {{"value": 1}}))
            import time; time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 20
    while time.monotonic() < end and Path(f"/proc/{worker}/stat").exists() and alive(worker):
        time.sleep(0.05)
    assert not alive(worker)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not (stat.is_file() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
