# Targets for contributors and new users; `make help` lists them.
# The first target that needs a virtual environment creates it.

PYTHON ?= python3
VENV := .venv
DEMO := .venv-demo
OTHERS := .venv-others
PROVIDERS := .venv-providers
DOCS := .venv-docs
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | \
	  awk 'BEGIN {FS = ":.*## "} {printf "  %-18s %s\n", $$1, $$2}'

# Exactly the pinned versions; .ci/install has the reasons.
PINNED := .ci/install pyproject.toml requirements/build.txt
$(READY): requirements/dev.txt $(PINNED)
	.ci/install $(VENV) dev $(PYTHON)
	@touch $@
$(DEMO)/.ready: requirements/demo.txt $(PINNED)
	.ci/install $(DEMO) demo $(PYTHON)
	@touch $@
$(DOCS)/.ready: requirements/docs.txt $(PINNED)
	.ci/install $(DOCS) docs $(PYTHON)
	@touch $@
$(OTHERS)/.ready: requirements/bench.txt $(PINNED)
	.ci/install $(OTHERS) bench $(PYTHON)
	@touch $@

$(PROVIDERS)/.ready: requirements/providers.txt $(PINNED)
	.ci/install $(PROVIDERS) providers $(PYTHON)
	@touch $@

.PHONY: providers
providers: $(PROVIDERS)/.ready ## Run five providers' real packages against their wire formats
	cd tests/providers && PYTHONPATH=. $(CURDIR)/$(PROVIDERS)/bin/python -m pytest -q \
	  -p no:cacheprovider --noconftest -c /dev/null --rootdir . test_packages.py

.PHONY: demo
demo: $(DEMO)/.ready ## Run the demo: no key, no Docker (ARGS="--html demo.html" and more)
	$(DEMO)/bin/otel-callbacks demo $(ARGS)

# Number of test processes; 0 runs the tests in this one, as --pdb needs.
export WORKERS ?= auto

.PHONY: test
test: $(READY) ## Run the tests with branch coverage (ARGS for pytest)
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term-missing:skip-covered \
	  --cov-fail-under=100 $(ARGS)

.PHONY: test-fast
test-fast: $(READY) ## Run the tests, without slow ones, attacks and coverage
	$(BIN)/python -m pytest -q -n $(WORKERS) \
	  -m "not slow and not attack and not e2e and not kubernetes and not scale" $(ARGS)

.PHONY: test-slow
test-slow: $(READY) ## Run the tests ten times slower, with nice and four busy loops
	.ci/slow-machine $(BIN)/python -m pytest -q -n $(WORKERS) $(ARGS)

.PHONY: chaos
chaos: $(READY) ## Run the chaos tests of the core (ARGS="--size 10" for a million calls)
	$(BIN)/python tests/chaos/attacks.py $(ARGS)

.PHONY: conformance
conformance: $(READY) ## Run OpenTelemetry's nine scenarios and print their coverage
	$(BIN)/python -m pytest -q tests/conformance $(ARGS)

.PHONY: conformance-page
conformance-page: $(READY) ## Regenerate the table of docs/conformance.md
	$(BIN)/python tests/conformance/measure/page.py

.PHONY: registry
registry: $(READY) ## Write conventions/metrics.yaml and the boards' JSON
	$(BIN)/python conventions/build.py
	$(BIN)/python deploy/grafana/build.py

.PHONY: check
check: $(READY) ## Lint, format, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	.ci/types
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_layering.py

.PHONY: format
format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) ## Measure the overhead of a call (ARGS="--rounds 50")
	$(BIN)/python benchmarks/overhead.py $(ARGS)

.PHONY: bench-others
bench-others: $(OTHERS)/.ready ## Measure other tracers, too, in a separate environment
	$(OTHERS)/bin/python benchmarks/overhead.py $(ARGS)

.PHONY: docs
docs: $(DOCS)/.ready ## Build the pages of docs/ into build/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

.PHONY: test-lowest
test-lowest: ## Run the tests with the lowest allowed versions
	.ci/with-python python3.11 lowest

.PHONY: test-newer
test-newer: ## Run the tests on the newest installed Python
	.ci/with-python newest dev

.PHONY: test-latest
test-latest: ## Run the tests with the newest allowed versions, resolved today
	PYTHON=$(PYTHON) .ci/latest $(ARGS)

.PHONY: wheel
wheel: $(READY) ## Build the wheel and test it outside the checkout
	.ci/wheel

.PHONY: mutants
mutants: ## Run the mutation tests of the core (ARGS=rates)
	.ci/mutants $(ARGS)

.PHONY: fresh-clone
fresh-clone: $(READY) ## Run `make demo` in a clone, with newer versions in an index
	.ci/fresh-clone demo

.PHONY: constraints
constraints: $(READY) ## Renew the pinned versions, with hashes
	.ci/constraints

-include deploy/stack.mk
-include deploy/scale.mk
-include tests/hosts/hosts.mk
-include tests/backends/backends.mk
