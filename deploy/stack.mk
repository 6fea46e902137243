# The stack's servers, built and driven for real. Included by the Makefile.

.PHONY: stack-binaries
stack-binaries: ## Build Collector, Jaeger and Prometheus with Go, into a cache
	$(PYTHON) tests/e2e/servers/binaries.py

# Most of the time is spent waiting (a scrape, a decision, a stopped server), so more
# workers than cores; a file stays with one. In the order of the alphabet, so that the
# two longest, boards and compose, are not left for the end.
.PHONY: e2e
e2e: $(READY) stack-binaries ## Drive the real servers with the files under deploy/
	$(BIN)/python -m pytest tests/e2e -m e2e -n 3 --dist loadfile \
	  --no-loadscope-reorder -p no:randomly $(ARGS)

.PHONY: quiet
quiet: $(READY) stack-binaries ## Run the demo for half an hour: no alert may fire
	$(BIN)/python tests/e2e/half_hour.py $(ARGS)

.PHONY: chaos-pipeline
chaos-pipeline: $(READY) stack-binaries ## Attack the app, Collector and Jaeger together
	$(BIN)/python tests/chaos/pipeline.py $(ARGS)

.PHONY: boards
boards: $(READY) stack-binaries ## Draw every panel from a real run (FOLDER=boards)
	BOARDS=$(or $(FOLDER),boards) $(BIN)/python -m pytest tests/e2e/test_boards.py \
	  -m e2e --timeout 600 $(ARGS)
