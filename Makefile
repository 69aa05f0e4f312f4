# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo test coverage test-newest pins lint check chaos bench bench-quick gpu clean
help:
	@echo "make demo    install into .venv and classify example files with each scorer"
	@echo "make test    install the test tools as well and run all tests"
	@echo "make coverage  the tests, traced: fails where less than 95% of promptshot/ is run"
	@echo "make test-newest  do the newest versions that setup.cfg allows pass? make pins writes constraints.txt from them"
	@echo "make lint    linter, formatter and types"
	@echo "make check   lint and test"
	@echo "make chaos   stop runs, fill disks, point paths at each other, pipes, fuzz a million inputs, 200 hostile models (two hours)"
	@echo "make gpu     on a GPU: every scorer's tests, doctor, and beside other tools (under ten minutes)"
	@echo "make bench   beside other tools, on an idle machine (an hour); make bench-quick: does it all run and agree?"

.venv/demo: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "promptshot needs Python 3.10 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	@touch $@

.venv/test: .venv/demo
	$(PIP) --editable '.[test,lint]'
	@touch $@

demo: .venv/demo
	@for way in words-mlm nsp causal; do \
	    echo; echo "promptshot classify examples/zh-reviews.jsonl -t zh-sentiment-$$way -o demo-$$way.jsonl"; \
	    $(BIN)/promptshot classify examples/zh-reviews.jsonl -t zh-sentiment-$$way -o demo-$$way.jsonl --overwrite || exit 1; \
	done
	@echo; echo "One row of what it wrote:"; head -n 1 demo-words-mlm.jsonl

test: .venv/test
	$(BIN)/python -m pytest

# Without the short run of the fuzzer, which traces lines itself.
coverage: .venv/test
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --ignore=tests/chaos/test_fuzz.py

test-newest:
	PYTHON=$(PYTHON) .ci/newest

# A fresh environment in which torch alone is pinned, as it was.
pins:
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	grep '^torch==' constraints.txt > .venv-newest/torch.txt
	.venv-newest/bin/pip --disable-pip-version-check install -qq --constraint .venv-newest/torch.txt --editable '.[test,lint]'
	.venv-newest/bin/python .ci/pins.py write > .venv-newest/pins.txt
	cp .venv-newest/pins.txt constraints.txt

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test

chaos: .venv/test
	$(BIN)/python tests/chaos/stress.py --memory 1000000
	$(BIN)/python tests/chaos/fuzz.py --inputs 1000000
	$(BIN)/python tests/chaos/pipes.py
	$(BIN)/python tests/chaos/config.py --files 5000
	$(BIN)/python tests/chaos/stress.py --stops 100
	$(BIN)/python tests/chaos/meetings.py
	$(BIN)/python tests/chaos/strangers.py --folders 200
	$(BIN)/python tests/chaos/cluster.py

# The tests of every scorer, doctor, and a benchmark on a GPU; results/gpu.md has what they gave. The environment takes the
# torch that PYTHON has, or else the usual one with CUDA. make gpu DEVICE=cpu GPU=--quick shows on a CPU that all of it runs.
DEVICE ?= cuda
ifeq ($(DEVICE),cpu)
GPU_ENV := .venv/test
else
GPU_ENV := .venv-gpu/done
endif

.venv-gpu/done: setup.cfg pyproject.toml
	@nvidia-smi -L > /dev/null 2>&1 || { echo "make gpu: no CUDA device here (nvidia-smi finds none); to try it on a CPU: make gpu DEVICE=cpu GPU=--quick" >&2; exit 1; }
	$(PYTHON) -m venv --system-site-packages .venv-gpu
	.venv-gpu/bin/pip --disable-pip-version-check install --quiet --editable '.[test,large]'
	@touch $@

gpu: $(GPU_ENV)
	@timeout 595 $(dir $(GPU_ENV))bin/python -m benchmarks.gpu --device $(DEVICE) --check --minutes 5.5 $(GPU)

# BENCH: more options, for example BENCH="--only mlm --data DIR" (see benchmarks/README.md)
bench: .venv/demo
	$(BIN)/python -m benchmarks.bench $(BENCH)

bench-quick: .venv/demo
	$(BIN)/python -m benchmarks.bench --quick $(BENCH)

clean:
	rm -rf .venv .venv-newest .venv-gpu build *.egg-info demo-*.jsonl*
