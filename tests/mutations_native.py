"""Plants the mistakes that the kernels' C++ is prone to, one at a time in a copy that is compiled again, and shows which tests go red.

    python -m tests.mutations_native          does each turn red the test that must see it?
    python -m tests.mutations_native CRF      only those whose name contains this

The sources are the same for every instruction set: the copy has the portable one alone, little optimised, and only what reads a changed
file is compiled again. `pytest --full` runs it too. Knows no test by heart but the one that each mistake must turn red.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutations import ROOT, Mutation, failures, mistaken, words

TESTS = ("tests/kernels",)
CSRC = Path("kernels/csrc")

# Memory from the allocator is filled with bytes that are not zero (glibc): what is never written must not be right by luck.
SETTINGS = {"CONVRNN_NATIVE": "require", "MALLOC_PERTURB_": "165"}


def _mistake(name: str, file: str, old: str, new: str, red: str) -> Mutation:
    return Mutation(name, str(CSRC / file), ((old, new),), red)


# File by file: a file that is put right again is compiled with the next mistake in it, not twice.
MUTATIONS = (
    _mistake(
        "a swapped gate: i and f of an LSTM",
        "cells.h",
        "V i = a.gate(0), f = a.gate(1), o = a.gate(3);",
        "V i = a.gate(1), f = a.gate(0), o = a.gate(3);",
        "test_fast_equals_reference[compiled-lstm-plain-forward]",
    ),
    _mistake(
        "a dropped bias: that inside the reset of a GRU",
        "cells.h",
        "const V h_n = a.from_state(2) + load(a.b_h);",
        "const V h_n = a.from_state(2);",
        "test_fast_equals_reference[compiled-gru-plain-forward]",
    ),
    _mistake(
        "a gradient of the state that z lets through, dropped",
        "cells.h",
        "a.slot(3, d_n);\n        a.direct = a.dh * z;",
        "a.slot(3, d_n);\n        a.direct = V{};",
        "test_fast_equals_reference[compiled-gru-ragged-forward]",
    ),
    _mistake(
        "a peephole's gradient by the old c where the new one was seen",
        "cells.h",
        "a.add_to_peep(2, d_o * c);",
        "a.add_to_peep(2, d_o * a.c);",
        "test_options_equal_reference[compiled-peep-ragged-forward]",
    ),
    _mistake(
        "the way of dc through a peephole, dropped",
        "cells.h",
        "a.dc += d_f * load(a.peep);",
        "",
        "test_options_equal_reference[compiled-peep-coupled-ragged-forward]",
    ),
    _mistake(
        "a state that is the one before the last at a row's end",
        "forward.h",
        "copy(final, own.h[now] + i * width, r.width);",
        "copy(final, own.h[1 - now] + i * width, r.width);",
        "test_fast_equals_reference[compiled-rnn_tanh-ragged-forward]",
    ),
    _mistake(
        "frames beyond a row's length that are not zero",
        "forward.h",
        "zero(y(rows.row[i], t), r.width);",
        "",
        "test_fast_equals_reference[compiled-rnn_tanh-ragged-forward]",
    ),
    _mistake(
        "the gradient of the bias inside the reset, from outside of it",
        "backward_part.h",
        "add_rows(own.sums.b_h, own.slots + (G - 1) * units, count);",
        "add_rows(own.sums.b_h, own.slots + G * units, count);",
        "test_fast_equals_reference[compiled-gru-plain-forward]",
    ),
    _mistake(
        "a gradient of the first state without what comes through the products",
        "backward_part.h",
        "copy(to, own.dh + i * width,",
        "copy(to, own.direct + i * width,",
        "test_fast_equals_reference[compiled-gru-ragged-forward]",
    ),
    _mistake(
        "gradients of weights without those of the second thread",
        "backward.h",
        "for (int64_t other = 1; other < parts; ++other)",
        "for (int64_t other = 2; other < parts; ++other)",
        "test_threads[gru-2]",
    ),
    _mistake(
        "a lost segment of a product: the last gate's part of a gradient",
        "panels.h",
        "for (int segment = 0; segment < segments; ++segment)",
        "for (int segment = 0; segment < segments - (segments > 1); ++segment)",
        "test_fast_equals_reference[compiled-lstm-plain-forward]",
    ),
    _mistake(
        "the mask of the first row for all rows in a gradient of weights",
        "outer.h",
        "load_first(factors + place[k] / frames * width + at, n)",
        "load_first(factors + at, n)",
        "test_options_equal_reference[compiled-drop-ragged-forward]",
    ),
    _mistake(
        "a row reversed with the padding of the longest",
        "plan.h",
        "return reverse ? length[row[i]] - 1 - s : s;",
        "return reverse ? length[row[0]] - 1 - s : s;",
        "test_fast_equals_reference[compiled-gru-ragged-backward]",
    ),
    _mistake(
        "behind a convolution, gradients of the state's part for those of the input's",
        "steps.cpp",
        "load(slots + x_slot<C>(gate) * L)",
        "load(slots + gate * L)",
        "test_options_equal_reference[compiled-conv-2d-after-ragged-forward]",
    ),
    _mistake(
        "a scan's carry: the lower half of a register in both halves",
        "scan_cells.h",
        "high_ = load_first(from + kHalf, lanes < kHalf ? 0 : lanes - kHalf);",
        "high_ = load_first(from, lanes < kHalf ? 0 : lanes - kHalf);",
        "test_every_instruction_set_and_number_of_threads[portable]",
    ),
    _mistake(
        "a scan's gradient carried on by the wrong gate",
        "scan_cells.h",
        "carry.scale(z.shut);",
        "carry.scale(z.open);",
        "test_one_pass_equals_the_definition[cpp-min_gru-ragged-forward]",
    ),
    _mistake(
        "a scan's gate that sees the state after the frame",
        "scan.cpp",
        "s.reverse ? memory + s.units : memory - s.units;",
        "memory;",
        "test_one_pass_equals_the_definition[cpp-min_gru-ragged-backward]",
    ),
    _mistake(
        "a scan's padding that nobody clears",
        "scan.cpp",
        "clear(s, s.h, row, valid, first, last);",
        "",
        "test_fast_equals_reference[cpp-ragged-forward]",
    ),
    _mistake(
        "the backward pass of a CRF without the emission of the frame",
        "crf.cpp",
        "store(q + j, log_normal(load(s + j)) + load(e + j));",
        "store(q + j, log_normal(load(s + j)));",
        "test_equals_all_paths_written_out[require-plain-all-allowed]",
    ),
    _mistake(
        "a best path of a CRF that is forgotten when it is pushed out",
        "crf.cpp",
        "way = in ? old : way;",
        "",
        "test_best_paths_of_all_paths_written_out[require-3-plain-all-allowed]",
    ),
    _mistake(
        "paths of one transcript under CTC that are not merged",
        "ctc.cpp",
        "h.in_label.log_prob = log_add(h.in_label.log_prob, before.log_prob + by);",
        "h.in_label.log_prob = std::max(h.in_label.log_prob, before.log_prob + by);",
        "test_a_wide_beam_finds_all_transcripts_written_out[require-4-3-0]",
    ),
    _mistake(
        "a label that repeats itself under CTC without a blank between",
        "ctc.cpp",
        "return label == nodes_[live_[from].node].label ? live_[from].in_blank : whole_[from];",
        "return whole_[from];",
        "test_a_wide_beam_finds_all_transcripts_written_out[require-4-3-0]",
    ),
    _mistake(
        "a dropout clock that stands still",
        "keep_mask.cpp",
        "(static_cast<uint64_t>(clock[b]) + t) * kGolden",
        "static_cast<uint64_t>(clock[b]) * kGolden",
        "test_chunks_and_rows_do_not_matter[require]",
    ),
)


class Compiled:
    """A copy of the repository with kernels of its own.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("convrnn", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for name in ("pyproject.toml", "CMakeLists.txt"):
            shutil.copy(ROOT / name, folder)
        nanobind = subprocess.run([sys.executable, "-m", "nanobind", "--cmake_dir"], capture_output=True, text=True, check=True).stdout
        options = {
            "CMAKE_BUILD_TYPE": "Release",
            "CMAKE_LIBRARY_OUTPUT_DIRECTORY": str(folder / "convrnn/kernels"),
            "CONVRNN_OPTIMIZATION": "-O1",
            "CONVRNN_PORTABLE": "ON",
            "Python_EXECUTABLE": sys.executable,
            "nanobind_DIR": nanobind.strip(),
        }
        self._cmake("-S", str(folder), "-B", str(folder / "build"), *(f"-D{name}={value}" for name, value in options.items()))
        self._compile()

    def red_tests(self, mutation: Mutation) -> list[str]:
        """The ids of tests that fail with the mistake planted, among those named as `mutation.red` is; afterwards the copy is whole."""
        path = self.folder / "convrnn" / mutation.file
        whole = path.read_text(encoding="utf-8")
        path.write_text(mistaken(mutation), encoding="utf-8")
        try:
            self._compile()
            return self._failures(words(mutation.red))
        finally:
            path.write_text(whole, encoding="utf-8")

    def unharmed(self, mutations: Sequence[Mutation]) -> list[str]:
        """The ids of tests that fail without any mistake, of those that mistakes must turn red: none, else a red one says nothing."""
        self._compile()
        return self._failures(" or ".join(f"({words(mutation.red)})" for mutation in mutations))

    def _failures(self, selection: str) -> list[str]:
        return failures(self.folder, (*TESTS, "-k", selection), SETTINGS)

    def _compile(self) -> None:
        self._cmake("--build", str(self.folder / "build"), "--parallel", "2")

    def _cmake(self, *arguments: str) -> None:
        done = subprocess.run([sys.executable, "-m", "cmake", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"cmake {' '.join(arguments)}:\n{done.stdout}{done.stderr}")


def main(arguments: list[str]) -> int:
    """Prints what each mistake turns red; 1 if one survives the test that must see it, or if a test is red without any."""
    chosen = [mutation for mutation in MUTATIONS if not arguments or any(word in mutation.name for word in arguments)]
    survived = 0
    with tempfile.TemporaryDirectory() as name:
        compiled = Compiled(Path(name))
        if red := compiled.unharmed(chosen):
            print(f"red without a mistake: {', '.join(red)}")
            return 1
        for mutation in chosen:
            red = compiled.red_tests(mutation)
            survived += mutation.red not in red
            print(f"{'red  ' if mutation.red in red else 'ALIVE'} {mutation.name}: {mutation.red}", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
