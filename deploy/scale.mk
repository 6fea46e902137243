# Beyond one machine: manifests and the two-tier pipeline. Included by the Makefile.

.PHONY: kubernetes
kubernetes: etcd kubernetes-binaries kubernetes-manifests ## Check deploy/kubernetes with schemas and a real API server

.PHONY: etcd
etcd:
	@command -v etcd >/dev/null || \
	  { echo "etcd is needed for the API server: apt-get install etcd-server"; exit 1; }

.PHONY: kubernetes-manifests
kubernetes-manifests: $(READY) ## Check deploy/kubernetes; with the API server only if it is built
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --only-binary :all: --require-hashes -r requirements/kubernetes.txt
	$(BIN)/python -m pytest tests/kubernetes -m "kubernetes or not kubernetes" \
	  -p no:cacheprovider -rs $(ARGS)

.PHONY: kubernetes-binaries
kubernetes-binaries: ## Build kube-apiserver and kubectl with Go, into a cache
	$(PYTHON) tests/e2e/servers/binaries.py --build kubernetes

.PHONY: kubernetes-files
kubernetes-files: $(READY) ## Generate the operator's resources from Prometheus' rules and settings
	$(BIN)/python deploy/kubernetes/monitoring/build.py

.PHONY: scale
scale: $(READY) tiers-binaries ## Run the two-tier pipeline, with faults (ARGS="-k rest")
	$(BIN)/python -m pytest tests/scale -m scale -p no:cacheprovider -p no:randomly -s $(ARGS)

.PHONY: scale-rates
scale-rates: $(READY) tiers-binaries ## Measure the cost of each tier (ARGS=2000 requests)
	$(BIN)/python tests/scale/rates.py $(ARGS)

.PHONY: tiers-binaries
tiers-binaries: stack-binaries ## Build and fetch the servers of make scale, into a cache
	$(PYTHON) tests/e2e/servers/binaries.py --build tiers victoria-metrics
	$(PYTHON) tests/scale/jars.py
