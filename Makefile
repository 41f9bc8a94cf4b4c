# jobkit: the commands of a day. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests run side by side; two processes are what a small CI machine has cores for.
JOBS ?= 2
# Playing takes as long as the media last and hardly any processor, so more of it goes on side by side.
PLAYERS ?= 4
# Commands and tests start thousands of processes, each of which would compile all of jobkit again.
export PYTHONDONTWRITEBYTECODE :=
# Shells have a variable of that name for something else, so only what looks like one of our files counts.
ENV_FILE = $(addprefix --env-file ,$(filter %.env,$(ENV)))

.DEFAULT_GOAL := help
.PHONY: help setup check lint types importable format reference install-servers servers test test-fast test-newer image-test install-browser test-browser demo bench bench-transcode benchmarks campaign clean

help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | while IFS="$$(printf '\t')" read -r name text; do printf '%-15s %s\n' "$$name" "$$text"; done

# Most of what is installed is never imported; what is, is compiled then.
$(INSTALLED): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[dev]'
	@touch $@

setup: $(INSTALLED) ## Install everything for development into .venv

# `make -j2 check` has them side by side.
check: lint types importable ## Lint, format check, layering, types, and whether every test can be imported

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(INSTALLED)
	$(BIN)/mypy

importable: $(INSTALLED)
	$(BIN)/pytest -qq --collect-only

format: $(INSTALLED) ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reference: $(INSTALLED) ## Make docs/reference.md and docs/settings.md anew, from docstrings and settings
	$(BIN)/jobkit config api > docs/reference.md
	$(BIN)/jobkit config reference > docs/settings.md

install-servers: ## Install the servers that tests start for themselves
	.ci/install-servers

test: $(INSTALLED) install-servers ## Run all tests, on private servers that they start themselves
	$(BIN)/pytest -n $(JOBS)

test-fast: $(INSTALLED) ## Run the tests that need no server and take no time to speak of
	$(BIN)/pytest -n $(JOBS) -m "not servers and not slow"

test-newer: ## Run on the newest servers and Python that Debian has: what has to do with them, and the demo (takes root)
	JOBS=$(JOBS) .ci/test-newer

image-test: $(INSTALLED) install-servers ## Build the image and run it; left out, with the reason, where that is not possible
	.ci/debian base || true
	IMAGE_TEST=1 $(BIN)/pytest -rs -n 0 tests/image

install-browser: ## Install Chromium, and the players that the browser tests use
	.ci/install-browser

test-browser: $(INSTALLED) install-browser ## Use the dashboard and examples/gallery in Chromium, and play what the transcode plugin makes there
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,browser,cenc]'
	BROWSER_TESTS=1 $(BIN)/pytest -n $(PLAYERS) tests/browser

campaign: $(INSTALLED) install-servers ## Run many schedules of faults, simulated (SEEDS=2000) and on real servers (SEED=N replays one)
	$(if $(SEED),,CAMPAIGN=1 $(BIN)/pytest -n $(JOBS) tests/simulation --seeds $(or $(SEEDS),2000))
	$(if $(SEED),,CAMPAIGN=1 SLOW_NETWORK_SECONDS=90 $(BIN)/pytest tests/campaign/test_campaign.py tests/campaign/test_slow_network.py tests/campaign/test_campaign_ticks.py tests/campaign/test_broken.py tests/backends/rabbitmq/test_lost.py tests/backends/rabbitmq/test_partitions.py tests/backends/rabbitmq/test_workers.py tests/backends/redis/test_like_sqlite.py tests/backends/postgres/test_pages_read_little.py tests/cluster tests/lab)
	$(if $(SEED),,KILLS=50 $(BIN)/pytest -rP tests/campaign/test_takeover.py tests/campaign/test_everything_killed.py)
	$(BIN)/python -m tests.campaign

servers: $(INSTALLED) install-servers ## Run RabbitMQ, Redis, PostgreSQL and S3 here until Ctrl-C (ENV=FILE.env: those it names)
	$(BIN)/python -m jobkit.lab.servers $(ENV_FILE)

demo: $(INSTALLED) ## Transcode real video with several workers; kill one, pause another (ENV=FILE.env: on what backends)
	$(BIN)/python -m workers.transcode.demo $(ENV_FILE)

bench: $(INSTALLED) ## Measure jobs per second and latency on this machine
	$(BIN)/jobkit bench

bench-transcode: $(INSTALLED) ## Measure what a transcode job costs beside plain ffmpeg commands
	$(BIN)/python -m tests.transcode.transcode_cost

benchmarks: $(INSTALLED) install-servers ## Compare with Celery, Dramatiq, Taskiq and FastStream; draws docs/benchmarks.svg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,benchmarks]'
	$(BIN)/python -m benchmarks

bench-steering: $(INSTALLED) install-servers ## Measure cancelling, releasing and waiting on each store (STORES="redis postgres": only those)
	$(BIN)/python -m benchmarks.steering $(STORES)

clean: ## Remove what the commands above made
	rm -rf .newer $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache demo-out tests/browser/node_modules
