# Every target installs what it needs. `make dev` runs the service, `make test` runs all tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONTRACT := generated/mediaservice/mediaservice.binpb
LOCK := $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --universal --no-annotate --no-header --python-version 3.11

UNIT := tests/unit tests/rules tests/client
OTHERS := $(UNIT:%=--ignore=%)
COLLECTED := .pytest_cache/collected
# These tests mostly wait, so more of them run concurrently than there are processors.
PARALLEL := -n 5 --dist loadfile --no-loadscope-reorder

# Without bytecode files, each of hundreds of processes compiles what it imports.
unexport PYTHONDONTWRITEBYTECODE

# One test or folder: `make test-one T=tests/unit/test_crc32c_combine.py::test_combining_is_associative`.
T ?= tests/unit

.PHONY: help unit test-one coverage dev test suite lint gen docs bench soak soak-outages soak-kills soak-events soak-starving soak-input soak-long soak-streams lock clean release-contract compiled

help:  ## Show this list.
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

dev: compiled  ## Run the service on this machine.
	@exec $(BIN)/python -m media_service dev

# Two processes: one runs the tests of `unit`, the other everything else.
test: compiled  ## Run every check and every test.
	@$(MAKE) --no-print-directory --jobs=2 unit suite

suite: lint compiled $(COLLECTED)
	$(BIN)/python -m pytest $(PARALLEL) $(OTHERS)

# Collecting tests compiles them, which every worker would do otherwise.
$(COLLECTED): $(READY) $(shell find tests -name '*.py')
	@-$(BIN)/python -m pytest --collect-only -q $(OTHERS) >/dev/null
	@mkdir -p $(@D) && touch $@

# In one process, in which they run as fast as anywhere: they hardly wait.
unit: $(READY)  ## Run the tests that need no service: unit, rules, client.
	$(BIN)/python -m pytest $(UNIT)

test-one: $(READY)  ## Run one test or folder: make test-one T=PATH[::NAME]
	$(BIN)/python -m pytest $(T)

# Only for the tests of `unit`: the others start processes, each of which would need tracing.
coverage: $(READY)  ## Print the branch coverage of `make unit`.
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered $(UNIT)

lint: $(READY)  ## Check style, types, imports, generated files and the contract.
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/gen.py --check
	$(BIN)/python clients/python/async_to_sync.py --check
	$(BIN)/python -m contract --check
	$(BIN)/buf lint $(CONTRACT) --config buf.yaml --path mediaservice
	$(BIN)/buf breaking $(CONTRACT) --against protos/released.binpb --config buf.yaml --path mediaservice --exclude-imports

# Stubs from the contract, and the blocking client from the asyncio one.
gen: $(READY)  ## Generate stubs, the blocking client and the error table.
	$(BIN)/python protos/gen.py
	$(BIN)/python clients/python/async_to_sync.py
	$(BIN)/python -m contract

# docs/operations.md and its images, from the contract.
docs: $(READY)  ## Generate docs/operations.md and its images.
	$(BIN)/python -m docs.gen

# The released contract, with which `make lint` compares changes.
release-contract: gen  ## Accept the contract as released: later changes must not break it.
	$(BIN)/python -m contract --release

bench: compiled  ## Run the benchmarks.
	$(BIN)/python -m benchmarks

# All parts run, also after one that fails. Each of them can run alone, and smaller: see its --help.
soak: compiled  ## Kills, outages, starving files and arbitrary input, for over an hour. Writes docs/crash.md.
	@$(MAKE) --no-print-directory --keep-going --jobs=1 soak-outages soak-kills soak-events soak-starving soak-input soak-long soak-streams

soak-outages: compiled
	$(BIN)/python -m tests.crash.outage_soak

soak-kills: compiled
	$(BIN)/python -m tests.crash.soak --kills 500

soak-events: compiled
	$(BIN)/python -m tests.crash.event_soak --kills 200

soak-starving: compiled
	$(BIN)/python -m tests.crash.starving --rounds 3

soak-input: compiled
	SOAK_ROUNDS=100 SOAK_SEED=$$(date +%s) $(BIN)/python -m pytest -q --timeout=0 tests/rpc/test_any_input.py tests/e2e/test_any_request.py

# The tests of `suite`, some of which are longer: see tests/support/long_form.py.
soak-long: compiled
	SOAK=1 $(BIN)/python -m pytest $(PARALLEL) $(OTHERS)

# Compares the streams of videos of many kinds with them. FOLDERS may have more videos.
soak-streams: compiled
	$(BIN)/python -m tests.e2e.agreement $(FOLDERS)

# The service has many processes. Sandboxed ones cannot write bytecode, so each would compile every
# import.
compiled: $(READY)
	@$(BIN)/python -m compileall -q src generated clients

# Three lists: everything for development, the image's dependencies in the same versions, and the
# compiler.
lock: $(READY)  ## Update every lock file.
	$(LOCK) --all-extras --no-emit-package media-service-client pyproject.toml -o requirements.lock
	$(LOCK) --no-emit-package media-service-client --constraint requirements.lock pyproject.toml -o requirements-runtime.lock
	echo grpcio-tools==1.66.2 | $(LOCK) --no-deps - -o protos/requirements.lock

clean:  ## Remove the environment and every cache.
	find src generated clients -name __pycache__ -prune -exec rm -r {} +
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# pyvips ships as source only: the build tools come from the same hash-locked list.
$(READY): requirements.lock protos/requirements.lock pyproject.toml clients/python/pyproject.toml
	@echo "Setting up $(VENV) (about a minute the first time) ..."
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	rm -rf $(VENV)/protoc
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(VENV)/protoc -r protos/requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e clients/python -e .
	@touch $@
