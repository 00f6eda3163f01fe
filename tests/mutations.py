"""Plants the mistakes that recurrent and streaming code is prone to, one at a time in a copy, and shows which tests go red.

    python tests/mutations.py            does each turn red the test that must see it?
    python tests/mutations.py flush      only those whose name contains this
    python tests/mutations.py --all      and who else sees it (slow)

A test that cannot fail is a defect; this is the test of the tests. Knows no test by heart but the one that each mistake must turn red: its
id names the layer and the law. `pytest --full` runs it too. Those of the C++ stand in mutations_native.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/testing/test_laws.py", "tests/layers", "tests/kernels/test_recur.py", "tests/core", "tests/articles")
ENOUGH = 25
# Python runs this at its start, of each process that a test starts too.
SITE = """
import sys
# An editable install has a finder of its own, which would import the repository in place of the copy.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "ScikitBuildRedirectingFinder"]
"""
IN_THE_COPY = """
import sys
import convrnn, pytest
assert convrnn.__file__.startswith(sys.argv[1]), convrnn.__file__
sys.exit(pytest.main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Mutation:
    """A mistake in one file.

    Attributes:
        name: what it is.
        file: under `convrnn/`.
        changes: text that occurs once, and what takes its place.
        red: the id of a test that must fail.
    """

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    red: str


MUTATIONS = (
    Mutation(
        "off by one in the conv buffer: the left padding",
        "layers/windowed.py",
        (("dense(self.in_shape), like, self.left)", "dense(self.in_shape), like, max(self.left - 1, 0))"),),
        "test_law[conv-chunking]",
    ),
    Mutation(
        "off by one in the conv buffer: the frames kept",
        "core/hold.py",
        (("(total[:, None] - size + place)", "(total[:, None] - size + place - 1)"),),
        "test_law[conv-chunking]",
    ),
    Mutation(
        "off by one in the conv buffer: in phase, by slices",
        "core/hold.py",
        (("return frames[:, new : new + size].clone(), before", "return frames[:, max(new - 1, 0) :][:, :size].clone(), before"),),
        "test_law[conv-causal-one-row-chunking]",
    ),
    Mutation(
        "off by one in the conv buffer: rows that hold alike",
        "core/hold.py",
        (("kept = frames[:, total - real : total]", "kept = frames[:, max(total - real - 1, 0) :][:, :real]"),),
        "test_full_chunks_need_no_lengths[one-by-one-conv]",
    ),
    Mutation(
        "a push that trains",
        "layers/stream.py",
        (("            module.training = False\n", "            module.training = True\n"),),
        "test_training_may_be_switched_on_and_off_between_chunks",
    ),
    Mutation(
        "swapped gates, everywhere alike",
        "kernels/steps.py",
        (
            ("i, f, g, o = (gates + sums).chunk(4, 1)", "f, i, g, o = (gates + sums).chunk(4, 1)"),
            ("i, f, g, o, c = saved.chunk(5, 1)", "f, i, g, o, c = saved.chunk(5, 1)"),
            ("_keep(d_gates, d_i, d_f, dc", "_keep(d_gates, d_f, d_i, dc"),
            ("_keep(saved, i, f, g, o, c)", "_keep(saved, f, i, g, o, c)"),
        ),
        "test_recurrence[lstm-1-False]",
    ),
    Mutation(
        "swapped gates in the backward pass",
        "kernels/steps.py",
        (("r, z, n, h_n = saved.chunk(4, 1)", "z, r, n, h_n = saved.chunk(4, 1)"),),
        "test_law[gru-gradcheck]",
    ),
    Mutation(
        "a state updated on padding: recurrence",
        "kernels/loops.py",
        (("[(t, alive[t]) for t in times if alive[t]]", "[(t, batch) for t in times]"),),
        "test_law[lstm-state]",
    ),
    Mutation(
        "a state updated on padding: the mean of a row",
        "layers/pool_whole.py",
        (("count = count + lengths", "count = count + x.values.shape[1]"),),
        "test_law[global-mean-batch]",
    ),
    Mutation(
        "statistics of the padding: batch norm",
        "layers/norm.py",
        (("torch.ones_like(flat[:, :1]) if x.lengths is None else self._valid(x).to(flat.dtype)", "torch.ones_like(flat[:, :1])"),),
        "test_batch_norm_is_that_of_the_valid_frames[ragged-1d]",
    ),
    Mutation(
        "a missing flush: the frames a convolution holds back",
        "layers/windowed.py",
        (("due = torch.where(ends, ceil_div(", "_ = torch.where(ends, ceil_div("),),
        "test_law[conv-chunking]",
    ),
    Mutation(
        "a missing flush: the frames a branch waits with",
        "layers/joined.py",
        (
            (
                "due = torch.stack([total for _, total in joined]).amin(0).clamp(min=0)",
                "due = torch.stack([total for _, total in joined]).amin(0).clamp(min=0, max=1)",
            ),
        ),
        "test_law[residual-chunking]",
    ),
    Mutation(
        "a dropped dh0",
        "kernels/loops.py",
        (('"state": _sorted(torch.cat(dnow, -1), order.back)', '"state": torch.zeros_like(r.state)'),),
        "test_law[gru-gradient]",
    ),
    Mutation(
        "a dropped dc0",
        "kernels/steps.py",
        (("dc if peep is None else dc + d_i * peep[0]", "dc * 0 if peep is None else dc + d_i * peep[0]"),),
        "test_law[lstm-gradcheck]",
    ),
    Mutation(
        "padding multiplied away",
        "core/seq.py",
        (("torch.where(mask, x.values, torch.zeros((), dtype=x.values.dtype, device=x.values.device))", "x.values * mask"),),
        "test_law[linear-padding]",
    ),
    Mutation(
        "a skip that does not wait",
        "layers/joined.py",
        (("return [int((e - slowest).max()) for e in early]", "return [0 for e in early]"),),
        "test_law[residual-chunking]",
    ),
    Mutation(
        "a row reversed with its padding",
        "layers/both_ways.py",
        (("torch.where(mirrored >= 0, mirrored, place)", "(x.values.shape[1] - 1 - place).expand_as(mirrored)"),),
        "test_law[both-ways-causal-batch]",
    ),
    Mutation(
        "attention that looks at the padding",
        "layers/attention.py",
        (("        if memory.mask_BM is None:\n", "        if memory is not None:\n"),),
        "test_law[attend-additive-batch]",
    ),
    Mutation(
        "a gate that multiplies the padding",
        "layers/blocks.py",
        (("in_shape, in_shape, weighs=True)", "in_shape, in_shape, weighs=False)"),),
        "test_law[highway-padding]",
    ),
    Mutation(
        "a place that remembers who sat there",
        "layers/stream.py",
        (("self.state = merge_states(chosen, new, old)", "self.state = merge_states(chosen, old, old)"),),
        "test_who_takes_a_place_begins_anew_and_the_row_beside_notices_nothing[gru]",
    ),
    Mutation(
        "a dropout clock that stands still",
        "layers/dropout.py",
        (("(seed, clock + row_lengths(x))", "(seed, clock)"),),
        "test_law[dropout-gradient:train]",
    ),
    Mutation(
        "a partial window averaged over the whole",
        "layers/pool.py",
        (("(prod(self.window) / self._counts(frames, total))", "1.0"),),
        "test_pool_keep_is_ceil_mode[mean-2-2]",
    ),
    Mutation(
        "the reset of a GRU forgotten",
        "kernels/steps.py",
        (("return r * seen", "return seen"),),
        "test_gru_in_every_mode[before]",
    ),
    Mutation(
        "the peephole of o sees the old c",
        "kernels/reference.py",
        (("o if w.peep is None else o + w.peep[2] * c", 'o if w.peep is None else o + w.peep[2] * state["c"]'),),
        "test_options_equal_reference[torch-peep-plain-forward]",
    ),
    Mutation(
        "a projection that takes the first units",
        "kernels/reference.py",
        (("return h if proj is None else F.linear(h, proj)", "return h if proj is None else h[..., : proj.shape[0]]"),),
        "test_what_is_projected_is_what_the_gates_see",
    ),
    Mutation(
        "a zone turned round",
        "kernels/reference.py",
        (("torch.lerp(new, state, zone)", "torch.lerp(state, new, zone)"),),
        "test_zoneout_in_evaluation_is_the_share",
    ),
    Mutation(
        "a zoneout clock that stands still",
        "layers/stepwise.py",
        (("(seeds[0], seeds[1] + row_lengths(x), seeds[2])", "seeds"),),
        "test_law[gru-zoneout-gradient:train]",
    ),
    Mutation(
        "the gates of the net before those of x",
        "layers/cell.py",
        (("for symbol in self.spec.symbols], -1)", "for symbol in sorted(self.spec.symbols, key=lambda s: s not in self.into)], -1)"),),
        "test_gates_by_a_pointwise_convolution_are_those_of_an_lstm[g]",
    ),
    Mutation(
        "an even recurrent kernel that reads before instead of behind",
        "kernels/reference.py",
        (("for n in (0, 1 - k % 2)", "for n in (1 - k % 2, 0)"),),
        "test_it_is_the_plain_cell_with_its_convolutions_written_out[rnn-even-1-d]",
    ),
    Mutation(
        "a row that ended goes on",
        "core/hold.py",
        (("    if bool(late.any()):", "    if False:"),),
        "test_a_row_that_ended_refuses_frames",
    ),
)


def mistaken(mutation: Mutation) -> str:
    """The mutation's file with the mistake in it."""
    source = (ROOT / "convrnn" / mutation.file).read_text(encoding="utf-8")
    for old, new in mutation.changes:
        if source.count(old) != 1:
            raise SystemExit(f"{mutation.file}: expected once, found {source.count(old)} times: {old}; bring the table in tests up to date")
        source = source.replace(old, new)
    return source


def defined(test: str, places: Sequence[str]) -> bool:
    """Whether a function of this id is in one of the files, or folders with files, of tests."""
    files = [file for place in places for file in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("test_*.py"))]
    return any(f"def {test.partition('[')[0]}(" in file.read_text(encoding="utf-8") for file in files)


def plant(mutation: Mutation, folder: Path) -> None:
    """Copies the repository's code and tests to a folder, and the mistake with them."""
    ignored = shutil.ignore_patterns("__pycache__", "csrc")
    for name in ("convrnn", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "convrnn" / mutation.file).write_text(mistaken(mutation), encoding="utf-8")


def red_tests(mutation: Mutation, everyone: bool = False) -> list[str]:
    """The ids of tests that fail with the mistake planted: among those named as `mutation.red` is, or among all, up to ENOUGH."""
    selection = ("-k", "not export and not stack", f"--maxfail={ENOUGH}") if everyone else ("-k", words(mutation.red))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(mutation, folder)
        return failures(folder, (*TESTS, *selection), {"CONVRNN_NATIVE": "off"})


def failures(folder: Path, arguments: Sequence[str], settings: dict[str, str]) -> list[str]:
    """The ids of tests that fail in a copy; `settings`: of the environment.

    Raises:
        RuntimeError: pytest ran none, or did not come to its end; with what it said.
    """
    (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    pytest = ["-q", "-rfE", "--no-header", "-p", "no:cacheprovider", *arguments]
    command = [sys.executable, "-c", IN_THE_COPY, str(folder), *pytest]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **settings}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return re.findall(r"^(?:FAILED|ERROR) \S*::(\S+?)(?: - .*)?$", done.stdout, re.MULTILINE)


def words(test: str) -> str:
    """An expression for `-k` that selects a test (and perhaps more): the words of its id."""
    return " and ".join(re.findall(r"\w+", test))


def main(arguments: list[str]) -> int:
    """Prints what each mistake turns red; 1 if one survives the test that must see it."""
    chosen = [word for word in arguments if word != "--all"]
    survived = 0
    for mutation in MUTATIONS:
        if chosen and not any(word in mutation.name for word in chosen):
            continue
        red = red_tests(mutation)
        survived += mutation.red not in red
        print(f"{'red  ' if mutation.red in red else 'ALIVE'} {mutation.name}: {mutation.red}", flush=True)
        if "--all" in arguments:
            print("      " + ", ".join(red_tests(mutation, everyone=True)), flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
