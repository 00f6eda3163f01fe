"""A worker for tests of the crew: it does what it is told, dying included. No test stands here."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

WAIT = 30.0


def do(order: dict[str, Any]) -> dict[str, Any]:
    if "sleep" in order:
        time.sleep(order["sleep"])
    if "half" in order:
        print(json.dumps({"ended": "done"})[:5], end="", flush=True)
        os._exit(4)
    if "signal" in order:
        os.kill(os.getpid(), order["signal"])
    if "exit" in order:
        sys.exit(order["exit"])
    return {"ended": "done", "value": order.get("value"), "process": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps({"at": {"epoch": 1, "epochs": 2}}), flush=True)
        try:
            answer = do(json.loads(line))
        except KeyboardInterrupt:
            answer = {"ended": "lost", "why": "interrupted"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
