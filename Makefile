# Every target sets up .venv by itself: with uv where it is installed, else with venv and pip.
PYTHON ?= python3
BIN    := .venv/bin
export SPARK_LOCAL_IP := 127.0.0.1

.DEFAULT_GOAL := help
.PHONY: help demo test test-glue6 faults histories soak simulate schemas bench bench-full check fmt lint-template e2e \
	sbom lock clean

help: ## Show what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: .venv/.ready ## Two days of recommendations, from batch output to customer profiles, on this machine
	@$(BIN)/recsync demo

# A file's tests share their session with Spark, so files are what the workers share out.
WORKERS ?= 2
PYTEST   = -m pytest -n $(WORKERS) --dist loadfile
test: .venv/.ready ## Run all tests
	$(BIN)/python $(PYTEST)

test-glue6: .tools/glue6/.ready ## Run all tests on the other runtime: Spark 4.1 and Python 3.13, as in Glue 6.0
	.tools/glue6/bin/python $(PYTEST)

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

RACE = .bench/bin/python -m benchmarks.race
bench: .bench/.ready ## Measure us against the algorithm of 2022, DuckDB, Polars and the limit (an hour, on a quiet machine)
	$(RACE) full --size Q --rounds 3
	$(RACE) full --size S
	$(RACE) delta --size S
	$(RACE) fixed --size T --rounds 3
	$(RACE) related --size S
	$(RACE) related-shared --size S
	.bench/bin/python -m benchmarks.delivery
	.bench/bin/python -m benchmarks.table
	.bench/bin/python -m benchmarks.plot

bench-full: .bench/.ready ## The same with a million users, and us with four (hours)
	$(RACE) full --size M
	$(RACE) full --size M --rounds 2 --only ours --add
	$(RACE) delta --size M --only ours
	$(RACE) related --size M
	$(RACE) related-shared --size M
	$(RACE) full --size L --only ours,limit
	.bench/bin/python -m benchmarks.table
	.bench/bin/python -m benchmarks.plot

check: .venv/.ready ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: .venv/.ready ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint-template: .tools/sam/.ready .tools/checkov/.ready ## Lint template.yaml, as it is and as CloudFormation sees it
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 .tools/sam/bin/sam validate --lint
	mkdir -p build
	AWS_DEFAULT_REGION=us-east-1 .tools/sam/bin/python .ci/tools/translate.py template.yaml > build/translated.json
	.tools/sam/bin/cfn-lint -- build/translated.json
	.tools/checkov/bin/checkov --config-file .checkov.yaml

e2e: .venv/.ready .tools/sam/.ready .tools/ministack/.ready .tools/lambda/.ready .tools/glue/.ready ## Deploy to an emulator of AWS, and deliver
	$(BIN)/python -m pytest tests/e2e -s

# Tools that must not share an environment with the project, each pinned by hash.
PYTHON_OF_ministack ?= python3.13
PYTHON_OF_lambda ?= $(PYTHON_OF_ministack)
PYTHON_OF_glue ?= python3.11
.tools/%/.ready: .ci/tools/%.lock
	@echo "Setting up .tools/$* (once)" >&2
	@rm -rf .tools/$* && "$(or $(PYTHON_OF_$*),$(PYTHON))" -m venv .tools/$*
	@.tools/$*/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

# The project's own lock holds both runtimes.
PYTHON_OF_glue6 ?= python3.13
.tools/glue6/.ready: requirements.lock pyproject.toml
	@echo "Setting up .tools/glue6 (once; a few minutes, mostly Spark and Java)" >&2
	@"$(PYTHON_OF_glue6)" -m venv --clear .tools/glue6
	@.tools/glue6/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@.tools/glue6/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

SHIPPED := functions glue_jobs
sbom: .tools/sbom/.ready ## List what the functions and the Glue jobs ship with, as CycloneDX, in build/sbom/
	mkdir -p build/sbom
	for room in $(SHIPPED); do \
		.tools/sbom/bin/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml \
			--output-file "build/sbom/$$room.cdx.json" "$$room/requirements.lock" || exit 1; done

LOCK := --universal --generate-hashes --no-emit-index-url --no-header --quiet --upgrade
lock: ## Resolve all locks anew (needs uv)
	uv pip compile $(LOCK) --extra local --extra dev pyproject.toml -o requirements.lock
	uv pip compile $(LOCK) --python-version 3.13 -c requirements.lock functions/requirements.in -o functions/requirements.lock
	uv pip compile $(LOCK) --python-version 3.11 -c requirements.lock glue_jobs/requirements.in -o glue_jobs/requirements.lock
	uv pip compile $(LOCK) --python-version 3.11 .ci/tools/sam.in -o .ci/tools/sam.lock
	uv pip compile $(LOCK) --python-version 3.11 .ci/tools/checkov.in -o .ci/tools/checkov.lock
	uv pip compile $(LOCK) --python-version 3.11 .ci/tools/sbom.in -o .ci/tools/sbom.lock
	uv pip compile $(LOCK) --python-version 3.11 .ci/tools/glue.in -o .ci/tools/glue.lock
	uv pip compile $(LOCK) --python-version 3.13 -c requirements.lock .ci/tools/lambda.in -o .ci/tools/lambda.lock
	uv pip compile $(LOCK) --python-version 3.13 .ci/tools/ministack.in -o .ci/tools/ministack.lock

# ---- What `sam build` calls: one folder for each function. Everything is pinned by hash and made for Linux.

ARCHITECTURE ?= x86_64
FETCH = --quiet --disable-pip-version-check --require-hashes --only-binary :all: --implementation cp
MACHINE = $(subst arm64,aarch64,$(ARCHITECTURE))
PYTHON_OF_GLUE_5.1 := 3.11
PYTHON_OF_GLUE_6.0 := 3.13
# What every function holds is fetched once.
FUNCTION_LIBRARIES := build/functions-$(ARCHITECTURE)/.ready
GLUE_WHEELS := build/wheels/5.1/.ready build/wheels/6.0/.ready

build-%Function: $(FUNCTION_LIBRARIES)
	cp -R $(<D)/. "$(ARTIFACTS_DIR)"
	rm "$(ARTIFACTS_DIR)/.ready"
	tar -cf - --exclude __pycache__ connectors functions | tar -xf - -C "$(ARTIFACTS_DIR)"

# What both Glue versions take stands once in the zip.
build-GlueAssetsFunction: $(GLUE_WHEELS)
	mkdir -p "$(ARTIFACTS_DIR)/functions"
	cp functions/__init__.py functions/publish_glue_assets.py "$(ARTIFACTS_DIR)/functions"
	tar -cf - --exclude __pycache__ connectors glue_jobs | tar -xf - -C "$(ARTIFACTS_DIR)"
	cp -R build/wheels "$(ARTIFACTS_DIR)"
	cd "$(ARTIFACTS_DIR)/wheels" && mkdir any && for wheel in 6.0/*-none-any.whl; do \
		if cmp -s "$$wheel" "5.1/$${wheel#6.0/}"; then mv "$$wheel" any/ && rm "5.1/$${wheel#6.0/}"; fi; done

build/functions-$(ARCHITECTURE)/.ready: functions/requirements.lock
	rm -rf $(@D)
	$(PYTHON) -m pip install $(FETCH) --no-compile --platform manylinux2014_$(MACHINE) --python-version 3.13 \
		--target $(@D) -r $<
	rm -rf $(@D)/bin
	touch $@

build/wheels/%/.ready: glue_jobs/requirements.lock
	rm -rf $(@D)
	$(PYTHON) -m pip download $(FETCH) --platform manylinux2014_x86_64 --python-version $(PYTHON_OF_GLUE_$*) \
		--dest $(@D) -r $<
	touch $@

clean: ## Remove environments, builds and caches
	rm -rf .venv .bench .tools .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info

.venv/.ready: requirements.lock pyproject.toml
	@echo "Setting up .venv (once; a few minutes, mostly Spark and Java)" >&2
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --clear --python "$$(command -v "$(PYTHON)")" .venv && \
		uv pip install --quiet --python .venv --require-hashes -r requirements.lock && \
		uv pip install --quiet --python .venv --no-deps -e . ; \
	else \
		"$(PYTHON)" -m venv --clear .venv && \
		$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e . ; \
	fi
	@touch $@

.bench/.ready: pyproject.toml
	@echo "Setting up .bench (once; a few minutes)" >&2
	@"$(PYTHON)" -m venv --clear .bench && .bench/bin/pip install --quiet --disable-pip-version-check -e '.[local,bench]'
	.bench/bin/recsync prepare
	@touch $@
