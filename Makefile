# ToM, The Open Messaging.  `make` lists what there is to do.
#
# Every target sets up what it needs: a fresh clone, Python 3.11 or later, git and make are enough.
# Nothing is installed outside `.venv`.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
SETUP := $(VENV)/.installed
# Whatever the environment says, the targets run with the pinned packages.
PYTHON := $(PY)
# How long the bounded fuzz run takes, in seconds.
FUZZ_SECONDS ?= 60
# What `make chaos` passes on to `python -m tests.chaos`.
CHAOS ?=
# The extras that the lock file pins.
LOCK_EXTRAS := --extra test --extra fuzz --extra bench --extra docs --extra sim

export PYTHONUTF8 := 1
# The interpreter that .venv is made with; found by itself where it is not named.
export TOM_PYTHON

##@ First steps

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## "; print "\nToM, The Open Messaging\n\n  make TARGET" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo

.PHONY: setup
setup: $(SETUP) ## Make .venv from the lock file (instant when it is there)

$(SETUP): requirements/dev.lock pyproject.toml tools/bootstrap.sh
	@bash tools/bootstrap.sh $(VENV)

.PHONY: demo
demo: $(SETUP) ## See ToM at work: several nodes exchange messages on this machine
	@$(VENV)/bin/tom demo

##@ Every day

.PHONY: check
check: $(SETUP) ## The inner loop: lint, types, imports, spec, vectors, tests
	@$(PY) -m tools.run_all check

.PHONY: test
test: $(SETUP) ## Everything that CI runs, with a table at the end
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(PY) -m tools.run_all test

.PHONY: lint
lint: $(SETUP) ## Style, types and the direction of imports
	@$(PY) -m tools.run_all lint

.PHONY: format
format: $(SETUP) ## Rewrite the sources in the one style
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

.PHONY: coverage
coverage: $(SETUP) ## Tests with 100 % branch coverage of all but the drivers, and a report in htmlcov/
	@$(PY) -m tools.run_all coverage
	@$(VENV)/bin/coverage html --quiet

##@ Specification and vectors

.PHONY: spec
spec: $(SETUP) ## Regenerate spec/requirements.json and the generated tables
	@$(PY) -m tools.spec

.PHONY: spec-check
spec-check: $(SETUP) ## Check the specification's rules, and that nothing generated is stale
	@$(PY) -m tools.spec --check

.PHONY: vectors
vectors: $(SETUP) ## Regenerate the test vectors
	@$(PY) -m tools.vectors

.PHONY: vectors-check
vectors-check: $(SETUP) ## Check that the test vectors are what the code generates
	@$(PY) -m tools.vectors --check

##@ Longer runs

.PHONY: fuzz
fuzz: $(SETUP) ## Fuzz every parser (FUZZ_SECONDS=60)
	@$(PY) fuzz/run.py --seconds $(FUZZ_SECONDS)

.PHONY: bench
bench: $(SETUP) ## Measure the codec, the cryptography and the links
	@$(PY) bench/run.py

.PHONY: chaos
chaos: $(SETUP) ## Kill many of 16 real nodes at once (CHAOS="--lost 50 --seed 2"); four minutes
	@$(PY) -m tests.chaos $(CHAOS)

.PHONY: conformance
conformance: $(SETUP) ## Hold the reference to the conformance suite, and the suite to what is broken
	@$(PY) -m conformance selftest

# Models: model-check, model-check-deep, apalache.
-include tla/tla.mk

##@ Documentation

.PHONY: docs
docs: $(SETUP) ## Build the documentation site, warnings as errors, and check its links
	@$(PY) -m tools.site
	@echo "docs/_build/html/index.html"

.PHONY: printable
printable: $(SETUP) ## The specification as one page and, where there is a Chromium, as PDF
	@$(PY) -m tools.site printable

.PHONY: docs-links
docs-links: $(SETUP) ## Ask every other site that the pages link to whether it is there
	@$(PY) -m tools.site links

.PHONY: docs-serve
docs-serve: docs ## Build the site and serve it on http://127.0.0.1:8000
	@$(PY) -m http.server --bind 127.0.0.1 --directory docs/_build/html 8000

.PHONY: changelog
changelog: $(SETUP) ## Show the changelog of the next release
	@$(VENV)/bin/towncrier build --draft --version next

##@ Upkeep

.PHONY: lock
lock: $(SETUP) ## Resolve the dependencies anew into requirements/dev.lock
	@$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header $(LOCK_EXTRAS) \
		--output-file requirements/dev.lock pyproject.toml
	@sed -i '1i # Made by `make lock` from pyproject.toml; never edit by hand.' requirements/dev.lock

.PHONY: clean
clean: ## Remove everything that was built, .venv included
	@rm -rf $(VENV) build dist htmlcov out reports states docs/_build .coverage .coverage.* \
		.pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
