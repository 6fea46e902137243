# Past one machine: manifests and the pipeline of two tiers. Included by the Makefile.

.PHONY: kubernetes
kubernetes: etcd kubernetes-binaries kubernetes-manifests ## Check deploy/kubernetes, by schemas and by a real API server

.PHONY: etcd
etcd:
	@command -v etcd >/dev/null || \
	  { echo "etcd is needed for the API server: apt-get install etcd-server"; exit 1; }

.PHONY: kubernetes-manifests
kubernetes-manifests: $(READY) ## The same with the API server only where it is built
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --require-hashes -r requirements/kubernetes.txt
	$(BIN)/python -m pytest tests/kubernetes -m "kubernetes or not kubernetes" \
	  -p no:cacheprovider -rs $(ARGS)

.PHONY: kubernetes-binaries
kubernetes-binaries: ## Build kube-apiserver and kubectl with Go, into a cache
	$(PYTHON) tests/e2e/servers/binaries.py --build kubernetes

.PHONY: kubernetes-files
kubernetes-files: $(READY) ## Write Prometheus' rules and settings as the operator's
	$(BIN)/python deploy/kubernetes/monitoring/build.py

.PHONY: scale
scale: $(READY) tiers-binaries ## Run the pipeline of two tiers, with faults (ARGS="-k rest")
	$(BIN)/python -m pytest tests/scale -m scale -p no:cacheprovider -p no:randomly -s $(ARGS)

.PHONY: scale-rates
scale-rates: $(READY) tiers-binaries ## Measure what each tier costs (ARGS=2000 requests)
	$(BIN)/python tests/scale/rates.py $(ARGS)

.PHONY: tiers-binaries
tiers-binaries: stack-binaries ## Build and fetch what make scale runs, into a cache
	$(PYTHON) tests/e2e/servers/binaries.py --build tiers victoria-metrics
	$(PYTHON) tests/scale/jars.py
