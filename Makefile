# jobkit: the commands of a day. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests run side by side; two processes are what a small CI machine has cores for.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup check format install-servers test demo bench campaign clean

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | while IFS="$$(printf '\t')" read -r name text; do printf '%-10s %s\n' "$$name" "$$text"; done

$(INSTALLED): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(INSTALLED) ## Install everything for development into .venv

check: $(INSTALLED) ## Lint, format check, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install-servers: ## Install the servers that tests start for themselves
	.ci/install-servers

test: $(INSTALLED) install-servers ## Run all tests, on private servers that they start themselves
	$(BIN)/pytest -n $(JOBS)

campaign: $(INSTALLED) ## Run many more simulated schedules than the tests do (SEEDS=2000)
	$(BIN)/pytest -n $(JOBS) tests/simulation --seeds $(or $(SEEDS),2000)

demo: $(INSTALLED) ## Transcode real video with several workers, and kill one of them
	$(BIN)/python -m workers.transcode.demo

bench: $(INSTALLED) ## Measure jobs per second and latency on this machine
	$(BIN)/jobkit bench

clean: ## Remove what the commands above made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache demo-out
