# The hosts that people run LangChain in, as real processes on this machine.
HOSTS := .venv-hosts

$(HOSTS)/.ready: requirements/hosts.txt $(PINNED)
	.ci/install $(HOSTS) hosts $(PYTHON)
	@touch $@

.PHONY: hosts
hosts: $(HOSTS)/.ready ## Run gunicorn, uvicorn, Celery, notebooks and more with the handler (ARGS)
	HOSTS=1 $(HOSTS)/bin/python -m pytest -q -n $(WORKERS) tests/hosts $(ARGS)

LANGGRAPH := .venv-langgraph
$(LANGGRAPH)/.ready: requirements/langgraph.txt requirements/setuptools.txt $(PINNED)
	.ci/install $(LANGGRAPH) langgraph $(PYTHON)
	@touch $@

.PHONY: langgraph-server
langgraph-server: $(HOSTS)/.ready $(LANGGRAPH)/.ready ## Run LangGraph's own server with the handler (ARGS)
	HOSTS=1 LANGGRAPH_PYTHON=$(CURDIR)/$(LANGGRAPH)/bin/python \
	  $(HOSTS)/bin/python -m pytest -q tests/hosts/test_langgraph_server.py $(ARGS)
