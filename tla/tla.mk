# The models.  The top Makefile includes this file; `make help` lists the targets.

PYTHON ?= $(or $(PY),python3)
RUNNER := $(PYTHON) -m tla.runner
# How many mutants `make model-mutate` tries; 0 tries all of them.
MUTANTS ?= 0
MUTANT_SEED ?= 1
# And `make model-check`, which asks only the small instances.
CHECK_MUTANTS ?= 6

##@ Models

.PHONY: model-check
model-check: $(SETUP) ## Check every model against its declaration and its pinned result, and a sample of mutants
	@$(RUNNER) lint
	@$(RUNNER) check
	@$(RUNNER) tables --check
	@$(RUNNER) traces --check
	@$(RUNNER) mutate --sample $(CHECK_MUTANTS) --seed $(MUTANT_SEED) --limit 100000

.PHONY: model-check-deep
model-check-deep: $(SETUP) ## The same with the large instances, 20 million states and more (hours)
	@$(RUNNER) check --tier deep

.PHONY: model-pin
model-pin: $(SETUP) ## Accept changed results (ONLY='roles/*'), then fill the generated tables
	@$(RUNNER) pin $(if $(ONLY),--only '$(ONLY)')
	@$(RUNNER) tables

.PHONY: apalache
apalache: $(SETUP) ## Ask Apalache as well; exit code 77 and NOT RUN where it is not installed
	@$(RUNNER) apalache

.PHONY: model-mutate
model-mutate: $(SETUP) ## Drop and negate every guard and see whether anybody notices (MUTANTS=20 for a sample)
	@$(RUNNER) mutate $(if $(filter-out 0,$(MUTANTS)),--sample $(MUTANTS) --seed $(MUTANT_SEED))

.PHONY: model-traces
model-traces: $(SETUP) ## Regenerate the behaviours in test-vectors/tla
	@$(RUNNER) traces
