"""A worker that pretends to train: it writes what a training leaves at once, and dies or fails where it is told to. No test stands here.

`die` in the options: the first time, in the midst of the run. `fail`: for ever. `slow`: seconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def train(order: dict[str, Any]) -> dict[str, Any]:
    run, options = Path(order["out"]), order["options"]
    time.sleep(options.get("slow", 0))
    if options.get("fail"):
        return {"ended": "failed", "why": "the loss is nan"}
    begun = run.exists()
    run.mkdir(parents=True, exist_ok=True)
    (run / "checkpoints").mkdir(exist_ok=True)
    if options.get("die") and not begun:
        os.kill(os.getpid(), signal.SIGKILL)
    rate = options.get("rate", 1e-3)
    value = 1 / (1 + abs(rate - 3.16228e-4) * 1e3 + options["seed"] % 1_000_003)
    parts = ("valid",) if order["trial"] else ("test", "valid")
    (run / "process.json").write_text(json.dumps({"memory_mb": 100.0 + options["seed"]}))
    rows = [{"target": 2.0, "label": "2"}, {"target": "10", "label": "2"}, {"target": 2, "label": "10"}]
    (run / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = {part: {"accuracy": value, "loss": 1 - value} for part in parts}
    (run / "metrics.json").write_text(json.dumps({**figures, "parameters": 9, "seconds": {"train": 0.5}, "options": options}))
    return {"ended": "done", "said": f"accuracy {value:.4f}", "seconds": 0.5}


def measure(order: dict[str, Any]) -> dict[str, Any]:
    home = Path(order["home"])
    (home / "gradients.json").write_text(json.dumps([{"when": when, "distance": [0], "norm": [1.0]} for when in ("begin", "end")]))
    (home / "costs.json").write_text(
        json.dumps({"parameters": 9, "multiply_adds": 8, "latency_ms": 1.0, "push_ms": None, "disk_bytes": 36})
    )
    return {"ended": "done"}


if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps({"at": {"epoch": 1, "epochs": 2}}), flush=True)
        print(json.dumps(train(order) if order["do"] == "train" else measure(order)), flush=True)
