"""`python -m convrnn.testing`: every law over every layer and zoo entry, as a table; `--stacks N --seed S`: random stacks instead."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Sequence

import torch

from convrnn.testing import laws, laws_export, stacks
from convrnn.testing.cases import CASES
from convrnn.testing.zoo_cases import zoo_cases

SAID = 100
"""Random stacks, a minute or so, after which a line says how far it has come."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the laws; 0 if all hold, 1 if one is broken."""
    parser = argparse.ArgumentParser(prog="python -m convrnn.testing", description=__doc__)
    parser.add_argument("--case", help="only cases whose name contains this")
    parser.add_argument("--law", help="only this law")
    parser.add_argument("--splits", type=int, default=3, help="random splits (seeds) a case")
    parser.add_argument("--onnx", action="store_true", help="torch.compile and ONNX too, whole rows and steps: seconds a case")
    parser.add_argument("--stacks", type=int, default=0, metavar="N", help="N random stacks in place of the table")
    parser.add_argument("--seed", type=int, default=0, help="of the random stacks")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    # torch.export warns of its own deprecations; what a law has to say is in its verdict.
    warnings.simplefilter("ignore")
    if options.stacks:
        return _stacks(options.stacks, options.seed)
    return _table(options.case, options.law, options.splits, options.onnx)


def _table(only_case: str | None, only_law: str | None, splits: int, costly: bool) -> int:
    cases = [case for case in (*CASES, *zoo_cases()) if only_case is None or only_case in case.name]
    keys = [only_law] if only_law in laws.law_names(costly=True) else laws.law_names(costly) if only_law is None else []
    if not cases or not keys:
        print(f"no case or law of that name; laws: {', '.join(laws.law_names(costly=True))}", file=sys.stderr)
        return 2
    width = max(len(case.name) for case in cases)
    marks = {"pass": "+", "exempt": "e", "skip": "-", "FAIL": "X"}
    print("laws:", "  ".join(f"{i + 1} {key}" for i, key in enumerate(keys)))
    print(f"{'':{width}}  " + " ".join(f"{i + 1:>2}" for i in range(len(keys))))
    reasons: dict[str, list[str]] = {}
    failures: list[str] = []
    counts: Counter[str] = Counter()
    for case in cases:
        found = [laws.check(case, key, range(splits if key.split(":")[0] in laws.RANDOM else 1)) for key in keys]
        counts.update(verdict.outcome for verdict in found)
        print(f"{case.name:{width}}  " + " ".join(f"{marks[verdict.outcome]:>2}" for verdict in found), flush=True)
        failures += [f"{case.name}: {verdict.law}: {verdict.reason}" for verdict in found if verdict.outcome == "FAIL"]
        for verdict in found:
            if verdict.outcome == "exempt":
                reasons.setdefault(f"{verdict.law}: {verdict.reason}", []).append(case.name)
    print("\nexempt, each with a witness on which the law fails:")
    for reason, names in reasons.items():
        print(f"  {reason}\n      {', '.join(names)}")
    for key in keys:
        if laws_export.absent(key):
            print(f"skipped: {key}: {laws_export.absent(key)}")
    for line in failures:
        print("BROKEN", line)
    print(f"\n{counts['pass']} hold, {counts['exempt']} exempt, {counts['FAIL']} broken; {len(cases)} cases, {len(keys)} laws")
    return 1 if failures else 0


def _stacks(number: int, seed: int) -> int:
    broken, held, exempt = 0, 0, 0
    for i in range(number):
        case = stacks.random_case(seed * 1_000_003 + i)
        for law in stacks.LAWS:
            if law in case.exempt:
                exempt += 1
                continue
            verdict = laws.check(case, law, range(i, i + 1))
            held += verdict.outcome == "pass"
            if verdict.outcome == "FAIL":
                broken += 1
                print(f"BROKEN {law}: {verdict.reason}\n  {case.name}, rows {case.lengths}: {case.spec!r}", flush=True)
        if i % SAID == SAID - 1 and i + 1 < number:
            print(f"{i + 1} of {number} stacks: {held} laws hold, {broken} broken", file=sys.stderr, flush=True)
    print(f"{number} random stacks, seed {seed}: {held} laws hold, {exempt} exempt (batch norm in training, whole rows), {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
