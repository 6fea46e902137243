# Tests with the real servers of the stack. Included by the Makefile.

.PHONY: stack-binaries
stack-binaries: ## Build Collector, Jaeger and Prometheus with Go, into a cache
	$(PYTHON) tests/e2e/servers/binaries.py

# Tests mostly wait (for a scrape, a sampling decision, a stopped server), so there are
# more workers than cores; a file stays with one worker. Alphabetical order starts the
# two longest, boards and compose, early.
.PHONY: e2e
e2e: $(READY) stack-binaries ## Test the files under deploy/ with the real servers
	$(BIN)/python -m pytest tests/e2e -m e2e -n 3 --dist loadfile \
	  --no-loadscope-reorder -p no:randomly $(ARGS)

.PHONY: quiet
quiet: $(READY) stack-binaries ## Run the demo for half an hour: no alert may fire
	$(BIN)/python tests/e2e/half_hour.py $(ARGS)

.PHONY: chaos-pipeline
chaos-pipeline: $(READY) stack-binaries ## Run the chaos tests of app, Collector and Jaeger
	$(BIN)/python tests/chaos/pipeline.py $(ARGS)

.PHONY: boards
boards: $(READY) stack-binaries ## Render every panel from a real run (FOLDER=boards)
	BOARDS=$(or $(FOLDER),boards) $(BIN)/python -m pytest tests/e2e/test_boards.py \
	  -m e2e --timeout 600 $(ARGS)
