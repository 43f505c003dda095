# Every target sets up .venv by itself: with uv where it is installed, else with venv and pip.
PYTHON ?= python3
BIN    := .venv/bin
export SPARK_LOCAL_IP := 127.0.0.1

.DEFAULT_GOAL := help
.PHONY: help demo test faults histories soak simulate schemas check fmt lock clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

demo: .venv/.ready ## Two days of recommendations, from batch output to customer profiles, on this machine
	@$(BIN)/recsync demo

test: .venv/.ready ## Run all tests
	$(BIN)/python -m pytest

faults: .venv/.ready ## Run the tests of the fault matrix; FULL=1 with its large counts (an hour)
	RECSYNC_FULL=$(FULL) $(BIN)/python -m pytest -k test_f

histories: .venv/.ready ## Hold the delta against its model: 200 histories with Spark, 10,000 of the model alone (an hour)
	RECSYNC_MODEL_HISTORIES=10000 $(BIN)/python -m pytest tests/model -k "not spark"
	RECSYNC_HISTORIES=200 $(BIN)/python -m pytest tests/model -k spark

RECORDS ?= 1000000
soak: .venv/.ready ## Deliver RECORDS records while 20 of 100 calls fail, and do the books
	$(BIN)/python -m cli.soak --records $(RECORDS)

SEEDS ?= 100
simulate: .venv/.ready ## Play SEEDS histories of crashes, lost answers and repeated messages in virtual time
	$(BIN)/python -m cli.simulate --seeds $(SEEDS)

schemas: .venv/.ready ## Write the JSON Schemas of what people write and read anew
	$(BIN)/python -m cli.schemas

check: .venv/.ready ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: .venv/.ready ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Resolve requirements.lock anew (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --upgrade \
		--extra local --extra dev pyproject.toml -o requirements.lock

clean: ## Remove .venv and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info

.venv/.ready: requirements.lock pyproject.toml
	@echo "Setting up .venv (once; a few minutes, mostly Spark and Java)" >&2
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --clear --python "$(PYTHON)" .venv && \
		uv pip install --quiet --python .venv --require-hashes -r requirements.lock && \
		uv pip install --quiet --python .venv --no-deps -e . ; \
	else \
		"$(PYTHON)" -m venv --clear .venv && \
		$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e . ; \
	fi
	@touch $@
