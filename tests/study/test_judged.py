"""Verdicts from made tables: the planted false claim is not told, the planted true one is, and a study folder gets its `claims.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from convrnn.core.language import speaking
from convrnn.report.study_claims import markdown, rows
from convrnn.study import judged
from convrnn.study.articles import GROUNDS, MAIN, entered, every_claim, label_of
from convrnn.study.claims import EVERYWHERE
from convrnn.study.judged import Tables
from tests.study.made import right

SETS = ("digits", "JapaneseVowels")
PLANTED = ("cnn", "P1 cnn, other seeds", "cnn own width", "P2 one filter")


def made(seed: int, gains: tuple[float, ...] = (0.0, 0.0, 0.0, -3.0)) -> Tables:
    """The arms of the planted claims, which are equal but for the last."""
    random = np.random.default_rng(seed)
    scores = {}
    for name in SETS:
        each = right(random, gains, seeds=5, rows=300)
        scores |= {(name, arm): each[number] for number, arm in enumerate(PLANTED)}
    return Tables(scores, frozenset(SETS), dict.fromkeys(SETS, "accuracy"), {})


def found(record: dict[str, Any]) -> dict[str, Any]:
    return {claim["id"]: claim for claim in record["claims"]}


def test_the_planted_claims() -> None:
    """Over 40 studies: the false one is told in at most 5 %, the true one always."""
    said = [found(judged.judged(made(seed))) for seed in range(40)]
    assert sum(each["P1"]["verdict"] != "cannot be told" for each in said) <= 2
    assert all(each["P2"]["verdict"] == "held" for each in said)
    assert all(part["effect"] and not part["missing"] for each in said for name in ("P1", "P2") for part in each[name]["parts"])


def test_what_was_not_measured_cannot_be_told() -> None:
    record = found(judged.judged(made(0)))
    assert {record[f"K{number}"]["verdict"] for number in range(1, 13)} == {"cannot be told"}
    part = record["K2"]["parts"][0]
    assert part["effect"] is None and part["sets"] == [] and part["missing"] == ["trec6", "mr_polarity", "zh_reviews"]


def test_costs_are_compared_by_their_ratio() -> None:
    """Half the parameters: a share of a half saved, and no interval."""
    costs = {(name, arm): {"parameters": size, "train_seconds": [size, size * 1.1]} for name in SETS for arm, size in SIZES.items()}
    tables = Tables({}, frozenset(), dict.fromkeys(SETS, "accuracy"), costs)
    parts = {part["measure"]: part for part in found(judged.judged(tables))["K6"]["parts"]}
    assert np.isclose(parts["parameters"]["effect"]["low"], np.log(2)) and parts["parameters"]["verdict"] == "held"
    assert parts["train_seconds"]["sets"] == ["JapaneseVowels", "digits"]


SIZES = {"lstm own width": 200, "gru own width": 100}


def test_the_record_and_its_table(tmp_path: Path) -> None:
    """The same bytes again; every claim has a row, in both languages."""
    folder = tmp_path / "study"
    folder.mkdir()
    lines = [
        {"set": name, "arm": arm, "model": "cnn", "seed": seed, "metric": "accuracy", "better": "higher", "value": value, "parameters": 9}
        for name in SETS
        for arm, value in zip(PLANTED, (0.9, 0.9, 0.9, 0.2), strict=True)
        for seed in range(5)
    ]
    for line, noise in zip(lines, np.random.default_rng(0).normal(0, 0.01, len(lines)), strict=True):
        line["value"] += noise
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "costs.jsonl").write_text("", encoding="utf-8")
    about = {
        "name": "study",
        "sets": [{"name": name} for name in SETS],
        "arms": [{"name": arm, "model": "cnn"} for arm in PLANTED],
        "pairs": [{"set": name, "arm": arm, "aside": arm != "cnn"} for name in SETS for arm in PLANTED],
    }
    (folder / "study.json").write_text(json.dumps(about), encoding="utf-8")
    before = judged.write(folder).read_bytes()
    assert judged.write(folder).read_bytes() == before
    record = json.loads(before)
    claims = found(record)
    assert (claims["P1"]["verdict"], claims["P2"]["verdict"]) == ("cannot be told", "held")
    for language in ("en", "zh"):
        with speaking(language):
            assert {row[0] for row in rows(record)} - {""} == set(claims)
            assert claims["P2"]["sentence"][language] in markdown(record)


def test_arms_are_entered_once() -> None:
    """No two are the same, every claim finds its own, and all their sets are there."""
    all_ = entered()
    names = [each.arm.name for each in all_]
    assert len({name.lower() for name in names}) == len(names) and names[: len(MAIN)] == list(MAIN)
    assert len({repr((e.arm.model, sorted(e.arm.options.items()), e.arm.first_seed, e.equal)) for e in all_}) == len(all_)
    by_name = {each.arm.name: each for each in all_}
    for claim in every_claim():
        for part in claim.decided_by:
            for name in part.compared:
                each = by_name[label_of(claim, name)]
                assert set(part.sets) <= each.sets <= set(GROUNDS) and each.equal == claim.equal
    assert by_name["crnn"].on_board("digits") and not by_name["crnn"].on_board("motif-order")
    assert all(set(EVERYWHERE) <= by_name[name].sets for name in MAIN)
