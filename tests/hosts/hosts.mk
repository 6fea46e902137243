# The hosts that people run LangChain in, as real processes on this machine.
HOSTS := .venv-hosts

$(HOSTS)/.ready: requirements/hosts.txt $(PINNED)
	.ci/install $(HOSTS) hosts $(PYTHON)
	@touch $@

.PHONY: hosts
hosts: $(HOSTS)/.ready ## Run gunicorn, uvicorn, Celery, notebooks and more with the handler (ARGS)
	HOSTS=1 $(HOSTS)/bin/python -m pytest -q -n $(WORKERS) tests/hosts $(ARGS)
