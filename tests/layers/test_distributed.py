"""Batch norm in two processes that hold unequal parts of a batch: what one process gets from the whole of it, gradients too.

Run as a program it is one of the processes: `test_distributed.py RANK MEETING OUT`; pytest starts two. gloo, on the loopback device.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import convrnn as cr
from convrnn.core.seq import Seq
from convrnn.layers.base import Layer
from convrnn.testing.chunks import batch_of, compare, make_rows, split_rows

PROCESSES = 2
NORM = cr.BatchNorm(momentum=0.3)
STACK = cr.Serial(cr.Conv(4, kernel=3), cr.Parallel(NORM, cr.Serial(cr.Conv(4, kernel=2), NORM)), cr.GRU(3), NORM, cr.GlobalPool())


class Job(NamedTuple):
    """What the processes do.

    Attributes:
        spec: of the net.
        lengths: frames of the rows of each process.
        full: whether rows come without lengths.
        ddp: whether `DistributedDataParallel` averages the gradients.
    """

    spec: cr.Spec
    lengths: tuple[tuple[int, ...], ...]
    full: bool = False
    ddp: bool = False


JOBS: dict[str, Job] = {
    "ragged": Job(NORM, ((5, 2), (7, 0, 3))),
    "one frame here, many there": Job(NORM, ((1,), (9, 9))),
    "no valid frame in one": Job(NORM, ((5, 2), (0, 0))),
    "no frame at all in one": Job(NORM, ((5, 5), (0,)), full=True),
    "full rows": Job(NORM, ((5, 5, 5), (5,)), full=True),
    "a stack": Job(STACK, ((5, 2), (7, 0, 3))),
    "a stack under DDP": Job(STACK, ((5, 2), (7, 0, 3)), ddp=True),
    "by themselves": Job(cr.BatchNorm(momentum=0.3, synchronise=False), ((5, 2), (7, 0, 3))),
}
STEPS = 2

Results = list[Tensor]
"""Of one process: for each step the rows of the answer and the gradients of input and parameters; the running statistics."""


def net_of(job: Job) -> Layer:
    torch.manual_seed(0)
    net = job.spec.build(3).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return net.train()


def rows_of(job: Job, step: int) -> list[list[Tensor]]:
    """The rows of each process, of unlike size and far from 0."""
    flat = make_rows((3,), tuple(n for part in job.lengths for n in part), step, torch.float64)
    flat = [row * (i + 1) + 3 * i for i, row in enumerate(flat)]
    sizes = [len(part) for part in job.lengths]
    return [flat[sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(len(sizes))]


def loss_of(answers: Sequence[Tensor]) -> Tensor:
    """A sum over frames, so that the losses of the processes add up to that of the whole."""
    return torch.stack([(y.square() * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)).sum() for y in answers]).sum()


def run(job: Job, net: Layer, call: nn.Module, rows: Callable[[int], list[Tensor]]) -> Results:
    """Some steps of training without an optimizer."""
    results: Results = []
    for step in range(STEPS):
        x = batch_of(rows(step), poison=not job.full)
        values = x.values.requires_grad_()
        answers = split_rows(call(Seq(values, None if job.full else x.lengths)).seq)
        net.zero_grad()
        loss_of(answers).backward()
        assert values.grad is not None
        results += [*answers, *(values.grad[i, : len(row)] for i, row in enumerate(rows(step)))]
        results += [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    return [result.detach() for result in (*results, *net.buffers())]


# ---- a process


def work(rank: int, meeting: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    done: dict[str, Results] = {}
    for name, job in JOBS.items():
        net = net_of(job)
        done[name] = run(job, net, DistributedDataParallel(net) if job.ddp else net, lambda step, job=job: rows_of(job, step)[rank])
    torch.save(done, out)
    dist.destroy_process_group()


# ---- the tests


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, root: Path) -> list[dict[str, Results]]:
    """What each process found."""
    folder = tmp_path_factory.mktemp("processes")
    environment = {**os.environ, "PYTHONPATH": str(root), **({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})}
    outs = [folder / f"{rank}.pt" for rank in range(PROCESSES)]
    running = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder / "meeting"), str(out)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, out in enumerate(outs)
    ]
    try:
        said = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * PROCESSES, "\n".join(said)
    return [torch.load(out, weights_only=True) for out in outs]


def parted(results: Results, rows: int, parameters: int) -> tuple[Results, Results, Results]:
    """What belongs to rows, the gradients of the parameters, and the running statistics."""
    of_rows: Results = []
    gradients: Results = []
    for _ in range(STEPS):
        of_rows, results = of_rows + results[: 2 * rows], results[2 * rows :]
        gradients, results = gradients + results[:parameters], results[parameters:]
    return of_rows, gradients, results


def by_row(results: Results, rows: int) -> list[Results]:
    """For each row its answer and gradient, step by step."""
    return [results[i::rows] for i in range(rows)]


@pytest.mark.parametrize("name", [name for name, job in JOBS.items() if job.spec != JOBS["by themselves"].spec])
def test_two_processes_are_one(processes: list[dict[str, Results]], name: str) -> None:
    """Answers, input gradients, running statistics, and the gradients of the parameters, which the processes add up or DDP averages."""
    job = JOBS[name]
    net = net_of(job)
    parameters = len(list(net.parameters()))
    together = job._replace(full=False)
    whole = run(together, net, net, lambda step: [row for part in rows_of(job, step) for row in part])
    want, wanted_gradients, statistics = parted(whole, sum(map(len, job.lengths)), parameters)
    apart = [parted(done[name], len(part), parameters) for done, part in zip(processes, job.lengths, strict=True)]
    got = [row for (found, _, _), part in zip(apart, job.lengths, strict=True) for row in by_row(found, len(part))]
    for i, (mine, theirs) in enumerate(zip(got, by_row(want, sum(map(len, job.lengths))), strict=True)):
        for a, b in zip(mine, theirs, strict=True):
            compare(f"row {i}", a, b)
    for place, gradient in enumerate(wanted_gradients):
        found = [part[1][place] for part in apart]
        if job.ddp:
            compare("averaged", found[0], gradient / PROCESSES)
            compare("the same in both", found[0], found[1])
        else:
            compare("added up", found[0] + found[1], gradient)
    for _, _, mine in apart:
        for a, b in zip(mine, statistics, strict=True):
            compare("statistics", a, b)


def test_processes_that_do_not_synchronise_are_alone(processes: list[dict[str, Results]]) -> None:
    job = JOBS["by themselves"]
    for rank, done in enumerate(processes):
        net = net_of(job)
        for a, b in zip(done["by themselves"], run(job, net, net, lambda step, rank=rank: rows_of(job, step)[rank]), strict=True):
            compare("alone", a, b)


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2], sys.argv[3])
