# `make serve` and `make test` work from a clean clone: they install everything they need into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
STAMP := $(VENV)/.installed
VALIDATORS := tests/ehr/fhir/node
CLIENTS := tests/api/clients/node
PROVIDER := tests/web/node
GENERATORS := $(VENV)/generators
WITNESS := $(VENV)/witness
PYTHON_OF_WITNESS ?= python3.12

.DEFAULT_GOAL := help
.PHONY: help install validators generators provider witness css serve serve-postgres sandbox test test-rest test-all faults soak bench bench-compare lint lock wheel clean

help: ## Show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv and install the locked requirements

$(STAMP): pyproject.toml requirements/dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

validators: $(VALIDATORS)/node_modules/.installed ## Install the FHIR validators that the tests use

$(VALIDATORS)/node_modules/.installed: $(STAMP) $(VALIDATORS)/package-lock.json
	cd $(VALIDATORS) && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent
	touch $@

generators: $(CLIENTS)/node_modules/.installed $(GENERATORS)/.installed ## Install the generators of clients that the tests use

$(CLIENTS)/node_modules/.installed: $(STAMP) $(CLIENTS)/package-lock.json
	cd $(CLIENTS) && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent
	touch $@

$(GENERATORS)/.installed: $(STAMP) requirements/generators.txt
	rm -rf $(GENERATORS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(GENERATORS) -r requirements/generators.txt
	touch $@

provider: $(PROVIDER)/node_modules/.installed ## Install the identity provider that the tests sign in at, and axe-core

$(PROVIDER)/node_modules/.installed: $(STAMP) $(PROVIDER)/package-lock.json
	cd $(PROVIDER) && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --silent
	touch $@

witness: $(WITNESS)/.installed ## Install the witness of others that the tests submit checkpoints to (needs Python 3.12)

$(WITNESS)/.installed: $(STAMP) requirements/witness.txt
	test -x $(WITNESS)/bin/python || $(PYTHON_OF_WITNESS) -m venv $(WITNESS)
	$(WITNESS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/witness.txt
	touch $@

css: provider ## Build the pages' style sheet from the parts of govuk-frontend that they use
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PROVIDER)/node_modules/.bin/sass --no-source-map --no-charset --style=compressed \
		--load-path=$(PROVIDER)/node_modules/govuk-frontend/dist ipt_workflow/web/styles/govuk.scss ipt_workflow/web/static/govuk.css

sandbox: install ## Serve a rehearsal on var/sandbox.db, with a clock that is moved over HTTP, and print tokens
	@IPT_HOST=$(HOST) IPT_PORT=$(PORT) IPT_DEVELOPMENT=true $(BIN)/ipt-workflow sandbox

serve: install ## Migrate and fill var/demo.db, show a client's rights on it, print tokens, and serve it
	@mkdir -p var
	@test -e var/demo.db || rm -rf var/demo-log.keys* var/demo-rights*
	@IPT_DATABASE_URL=sqlite:///var/demo.db $(BIN)/ipt-workflow db upgrade
	@IPT_DATABASE_URL=sqlite:///var/demo.db IPT_HOST=$(HOST) IPT_PORT=$(PORT) IPT_DEVELOPMENT=true $(BIN)/ipt-workflow demo
	@test -e var/demo-rights.txt || IPT_DATABASE_URL=sqlite:///var/demo.db IPT_LOG_KEY_FILE=var/demo-log.keys \
		$(BIN)/python scripts/demo_rights.py var/demo-rights >var/demo-rights.txt 2>&1 || mv var/demo-rights.txt var/demo-rights-failed.txt
	@ls var/demo-rights*.txt | sed "s/^/A client's rights and the proof of the log, step by step: /"
	@IPT_DATABASE_URL=sqlite:///var/demo.db IPT_LOG_KEY_FILE=var/demo-log.keys IPT_HOST=$(HOST) IPT_PORT=$(PORT) IPT_DEVELOPMENT=true $(BIN)/ipt-workflow serve

serve-postgres: install ## Do the same on its own PostgreSQL server, in var/postgres
	@mkdir -p var
	@IPT_HOST=$(HOST) IPT_PORT=$(PORT) IPT_DEVELOPMENT=true $(BIN)/python scripts/serve_postgres.py var/postgres

test: install validators generators provider ## Run every kind of test, and a sample of the large matrices
	$(BIN)/python -m pytest

test-rest: install validators generators provider ## Run the part of the large matrices that `make test` leaves out
	IPT_TEST_EXTENT=rest $(BIN)/python -m pytest

test-all: test test-rest ## Run every test, with whole matrices and ten seeds for the faults
	IPT_TEST_EXTENT=whole IPT_FAULT_FIRST=2 IPT_FAULT_SEEDS=9 $(BIN)/python -m pytest tests/faults --deselect tests/faults/test_soak.py

faults: install ## Run the fault tests (kills, lost connections, races) with twenty seeds (FAULT_SEEDS=N)
	IPT_TEST_EXTENT=whole IPT_FAULT_SEEDS=$(or $(FAULT_SEEDS),20) $(BIN)/python -m pytest tests/faults

soak: install ## Run two services for ten minutes among slow clients, kills, locks and a read-only minute (SOAK_SECONDS=N)
	IPT_TEST_EXTENT=whole IPT_SOAK_SECONDS=$(or $(SOAK_SECONDS),600) $(BIN)/python -m pytest -n 0 tests/faults/test_soak.py

bench: install ## Compare the service with its limits and peers: a quarter of an hour (QUICK=1: five minutes)
	$(BIN)/python -m bench $(if $(QUICK),--quick)

bench-compare: install ## Compare two results of the bench: OLD=… NEW=…
	$(BIN)/python -m bench.compare $(OLD) $(NEW)

lint: install ## Check format, style, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: ## Lock the newest versions that pyproject.toml allows (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/runtime.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate pyproject.toml --group dev -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --group generators -o requirements/generators.txt
	uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-header --no-annotate --group witness -o requirements/witness.txt

wheel: install ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean: ## Remove all generated files, and the demo's database, but no other database
	rm -rf $(VENV) $(VALIDATORS)/node_modules $(CLIENTS)/node_modules $(PROVIDER)/node_modules dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage var/demo.db*
