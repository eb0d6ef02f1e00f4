# `make` alone prints what there is. Every target sets up what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test chaos soak fuzz packages check lint format e2e bench cluster-up cluster-down crds images clean

help: ## print this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Forefill needs Python 3.11 or newer; set PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip==26.3'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]' --group dev
	@touch $@

demo: $(STAMP) ## the main job on this machine in under a minute: static buckets beside Forefill (SECONDS_EACH=20)
	@$(BIN)/forefill demo $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

test: $(STAMP) ## all tests, on a real Kubernetes node too where this machine can run one
	@$(BIN)/python -m pytest -q

check: lint audit $(STAMP) ## format, lint, types, import contracts, audit and all tests but the cluster's
	@$(BIN)/python -m pytest -q -m 'not e2e'

lint: $(STAMP) ## format, lint, types and import contracts
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && echo "ruff: clean"
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## rewrite the code as `make lint` wants it
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

e2e: $(STAMP) ## the tests on a real Kubernetes node (or on the cluster that KUBECONFIG names)
	@$(BIN)/python -m pytest -q -m e2e

bench: $(STAMP) ## every benchmark; each writes its table under docs/ (forecasts need FOREFILL_DATA)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@for bench in proxy forecast; do echo "== bench/$$bench"; $(BIN)/python -m bench.$$bench || exit 1; done

chart: $(STAMP) ## make the chart's README from its values, and its copy of the resource
	@cp crds/tokenpolicies.forefill.io.yaml charts/forefill/files/
	@$(BIN)/python -m forefill_lab.chart.readme

chart-lint: $(STAMP) ## helm lint, kubernetes-validate and checkov over the rendered chart
	@$(BIN)/python -m forefill_lab.chart.lint

chaos: $(STAMP) ## every fault of docs/reliability.md on this machine, in about ten minutes; writes its table
	@$(BIN)/python -m forefill_lab.chaos --write docs/reliability.md

soak: $(STAMP) ## an hour of churn, edits and restarts, and the slope of memory (MINUTES=60, STORE=1 with a Redis)
	@$(BIN)/python -m forefill_lab.soak --minutes $(or $(MINUTES),60) $(if $(STORE),--store) --write docs/reliability.md

fuzz: $(STAMP) ## every parser with coverage-guided input (SECONDS_EACH=60)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris==3.0.0'
	@$(BIN)/python -m bench.fuzz all $(or $(SECONDS_EACH),60)

packages: $(STAMP) ## install what tests use beside Python: Redis, Prometheus and more (Debian, as root)
	@$(BIN)/python -m forefill_lab.supply.packages

crds: ## copy the TokenPolicy resource into the chart
	@cp crds/tokenpolicies.forefill.io.yaml charts/forefill/files/

cluster-up: $(STAMP) ## start the real single-node cluster with both images (a quarter of an hour the first time)
	@$(BIN)/python -m forefill_lab.cluster up

cluster-down: $(STAMP) ## stop it and leave nothing behind
	@$(BIN)/python -m forefill_lab.cluster down

lock: $(STAMP) ## write down, with hashes, what the images install (needs the package index)
	@$(BIN)/python -m forefill_lab.supply.lock

sbom: $(STAMP) ## what is in both images: CycloneDX and licences, under build/sbom
	@$(BIN)/python -m forefill_lab.supply.sbom

audit: $(STAMP) ## known vulnerabilities of what the images install, where the database can be reached
	@$(BIN)/python -m forefill_lab.supply.audit

images: $(STAMP) ## build the images of operator and sidecar
	@$(BIN)/python -m forefill_lab.cluster images

clean: ## remove the virtual environment and caches of this checkout
	@rm -rf $(VENV) .venv-audit .venv-chart .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
