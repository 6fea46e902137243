# The stack's servers, built and driven for real. Included by the Makefile, which
# says what $(PYTHON) is.

.PHONY: stack-binaries e2e

stack-binaries: $(PYTHON)  ## Build Collector, Jaeger and Prometheus into a cache
	$(PYTHON) tests/e2e/servers/build.py

e2e: stack-binaries  ## Drive the real servers with the files under deploy/
	$(PYTHON) -m pytest tests/e2e -m e2e --timeout 300
