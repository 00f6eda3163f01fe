"""The arithmetic of the benchmarks on numbers that are known: a contest's record, medians over processes, means, goals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks import contest, tables
from convrnn.api.machine import Limit


def record(section: int, what: str, rival: str, ratio: float, **others: Any) -> dict[str, Any]:
    """As `contest.hold` makes one."""
    sizes = {"shape": (2, 12, 5, 7), "directions": 1, "ragged": False}
    times = {"ours_ms": 1.0, "theirs_ms": ratio, "ratio": ratio}
    return {"section": section, "what": what, "work": "train", "rival": rival, **sizes, **times, **others}


def share(what: str, found: float) -> dict[str, Any]:
    """Of a limit."""
    made = record(2, what, "sgemm", 1.0, share=found)
    del made["ratio"], made["theirs_ms"]
    return made


def shown(records: list[dict[str, Any]], judged: bool = True) -> list[str]:
    return [line.strip() for line in tables.tables(records, judged)]


# ---- a contest


def test_a_record_is_medians_of_turns_and_shares_of_the_better_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {"ours": [0.002, 0.001, 0.004], "theirs": [0.004, 0.004, 0.004], "slow": [1.0, 1.0, 1.0], "fast": [0.5, 0.25, 0.5]}
    asked: list[object] = []

    def by_turns(rivals: dict[str, object], rounds: int, pause: float) -> dict[str, list[float]]:
        asked.extend([list(rivals), rounds, pause])
        return taken

    monkeypatch.setattr(contest, "by_turns", by_turns)
    limits = [Limit("slow", lambda: None, 100.0), Limit("fast", lambda: None, 100.0)]
    bout = contest.Bout(lambda: None, lambda: None, 1e-7, 0.2, limits)
    found = contest.hold(contest.Case(2, "gru", "train", "sgemm", (2, 12, 5, 7), 1, True, lambda: bout), 3)
    assert asked == [["ours", "theirs", "slow", "fast"], 3, 0.0]
    # Pair by pair 2, 4 and 1: not the ratio of the medians by accident, which is 2 too, but of the pairs.
    assert found["ours_ms"] == 2.0 and found["theirs_ms"] == 4.0 and found["ratio"] == 2.0
    assert found["limit_per_second"] == 200.0 and found["per_second"] == pytest.approx(100.0) and found["share"] == pytest.approx(0.5)
    assert found["difference"] == 1e-7 and found["ragged"] and "begin" not in found


def test_answers_agree_within_the_largest_number_or_not_at_all() -> None:
    ours = torch.tensor([1.0, 100.0])
    assert contest.agree([("y", ours, ours), ("z", ours, ours + torch.tensor([0.0, 1e-3]))], 1e-4) == pytest.approx(1e-5, rel=0.05)
    with pytest.raises(contest.Mismatch, match=r"^y differs by 1\.0e-02 of the largest number, more than 1e-04$"):
        contest.agree([("y", ours + 1, ours)], 1e-4)
    with pytest.raises(contest.Mismatch, match="y differs by nan"):
        contest.agree([("y", ours * torch.nan, ours)], 1e-4)
    with pytest.raises(contest.Mismatch, match=r"^y: \[2\] here, \[1\] there$"):
        contest.agree([("y", ours, ours[:1])], 1e-4)


def test_ragged_lengths_are_within_a_quarter_and_the_whole_and_the_same_each_time() -> None:
    lengths = contest.lengths_of(200, 41, True)
    assert lengths.min() == 10 and lengths.max() == 41 and torch.equal(lengths, contest.lengths_of(200, 41, True))
    assert contest.lengths_of(3, 41, False).tolist() == [41] * 3


# ---- tables


def test_a_table_has_its_lines_their_mean_and_the_worst() -> None:
    lines = [record(1, "gru", "torch.nn", ratio, shape=(n, 12, 5, 7)) for n, ratio in enumerate((2.0, 8.0, 4.0))]
    title, header, *rows, mean = shown(lines, judged=False)
    assert title == "1. gru, train, against torch.nn" and header.endswith("ratio")
    assert [row.split()[0] for row in rows] == ["0", "1", "2"] and rows[1].split()[-2:] == ["8.000", "8.00"]
    assert mean == "geometric mean 4.00, worst 2.00 at (0, 12, 5, 7), 1 direction(s)"
    assert max(len(line) for line in tables.tables(lines, True)) <= 80


def test_processes_are_merged_by_the_median_of_each_line_and_tables_stand_in_their_order() -> None:
    runs = [[record(1, "gru", "torch.nn", a), record(1, "rnn", "torch.nn", b)] for a, b in ((1.0, 5.0), (3.0, 6.0), (2.0, 1.0))]
    lines = shown([each for run in runs for each in run], judged=False)
    assert [line for line in lines if line.startswith("geometric")] == [
        f"geometric mean {figure:.2f}, worst {figure:.2f} at (2, 12, 5, 7), 1 direction(s)" for figure in (2.0, 5.0)
    ]
    assert [line for line in lines if "against" in line] == [f"1. {what}, train, against torch.nn" for what in ("gru", "rnn")]


@pytest.mark.parametrize(("least", "verdict"), [(2.5, "met"), (2.6, "MISSED")])
def test_a_goal_of_the_mean(least: float, verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GOALS", (tables.Goal(1, "gru", "torch", least),))
    lines = [record(1, "gru", "torch.nn", ratio, directions=n) for n, ratio in ((1, 1.25), (2, 5.0))]
    assert shown(lines)[-1] == f"asked of the mean: >= {least:.2f}, found 2.50: {verdict}"
    assert tables.missed(lines) == (verdict == "MISSED")


def test_a_goal_of_each_line_and_one_of_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    goals = (tables.Goal(1, "", "", 2.0, each=True), tables.Goal(1, "gru", "packed", 4.0, directions=2))
    monkeypatch.setattr(tables, "GOALS", goals)
    lines = [record(1, "gru", "packed torch.nn", ratio, directions=n, ragged=True) for n, ratio in ((1, 1.9), (2, 4.5))]
    assert shown(lines)[-2:] == [
        "asked of each line: >= 2.00, found 1.90: MISSED",
        "asked of the mean of 2 directions: >= 4.00, found 4.50: met",
    ]
    assert tables.missed(lines) == 1
    assert not [line for line in shown(lines, judged=False) if "asked" in line]


def test_what_is_held_against_a_limit_is_judged_by_its_share() -> None:
    """By the goals as they stand: three quarters of the matrix speed, each line."""
    assert tables.missed([share("gru", 0.75), share("lstm", 0.9)]) == 0
    assert tables.missed([share("gru", 0.74), share("lstm", 0.9)]) == 1
    title, header, row, *_ = shown([share("gru", 0.74)])
    assert title == "2. gru, train, against sgemm" and header.endswith("share") and row.split()[-1] == "0.74"


def test_every_goal_is_of_a_section_and_none_is_met_by_nothing() -> None:
    for goal in tables.GOALS:
        line = record(goal.section, goal.what or "gru", goal.rival or "torch.nn", goal.least * 0.99, directions=goal.directions or 1)
        assert tables.missed([line]) >= 1, goal


def test_what_of_a_push_is_there_whatever_it_computes() -> None:
    """33 frames in five times the time of one: a frame costs an eighth of a push of one."""
    line = record(5, "gru", tables.CHUNK, 5.0, shape=(1, 33, 5, 7))
    assert shown([line])[-1] == "of a push of one frame 88% is there whatever it computes"
