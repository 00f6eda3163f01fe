"""A server of command lines, so that a test that kills many pays for the imports once. No test stands here.

Each line on standard input is a JSON object: `arguments` of `convrnn`, and the files `out` and `err` for its standard output and error. It
answers the process number, then, once that process is gone, its exit status.
"""

from __future__ import annotations

import json
import os
import sys

import torch
import torch._dynamo

import convrnn.api.runs
import convrnn.report.figures
import convrnn.training.progress
from convrnn.cli import main

IMPORTED = (convrnn.api.runs, convrnn.report.figures, convrnn.training.progress, torch._dynamo)
"""What a training needs and imports only when it comes to it, or torch does: its compiler, for every optimizer."""


def run(order: dict[str, list[str] | str]) -> None:
    """In a process of its own: the command line, to its exit status."""
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(str(order[name]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), stream)
    code = main(order["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """See the top of the file. With one thread torch computes in the thread that calls it, so there is none that a fork could lose."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            run(json.loads(line))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve()
