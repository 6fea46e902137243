# Servers from the package index that take our spans, asked for what they show.
BACKENDS := .venv-backends

$(BACKENDS)/.ready: requirements/backends.txt $(PINNED)
	.ci/install $(BACKENDS) backends $(PYTHON)
	@touch $@

.PHONY: backends
backends: ## Send to MLflow's and Phoenix's servers, and ask what they show (ARGS)
	@if $(MAKE) --no-print-directory $(BACKENDS)/.ready; then \
	  BACKENDS=1 $(BACKENDS)/bin/python -m pytest -q \
	    -p no:phoenix tests/backends $(ARGS); \
	else \
	  echo "make backends: left out, its servers do not install here" | \
	    tee -a "$${OTEL_CALLBACKS_LEFT_OUT:-/dev/null}"; \
	fi
