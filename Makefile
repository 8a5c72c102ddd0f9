# One word each. Every target sets up what it needs in .venv.
PYTHON ?= python3
# What nobody has chosen gives way to one that is faster, if there is one of the same version.
CHOSEN = $(if $(filter file,$(origin PYTHON)),"$$($(PYTHON) deploy/choose_python.py)",$(PYTHON))
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PROTOS := $(wildcard proto/statorpb/*.proto)

PURE := server/codec server/expressions server/model server/paxos router/requests router/routing router/signature \
        router/transactions \
        storage_node/codec storage_node/partition metadata/catalog metadata/placement

.PHONY: up test check coverage proto simulate mutants models fuzz compose bench demo clean

# Installed again only when what is to be installed has changed. README.md is needed to build the package.
$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Stator needs Python 3.11 or newer; say PYTHON=/path/to/python3.11")'
	@echo "Setting up $(VENV); this takes a minute or two, once."
	@test -x $(BIN)/python || $(CHOSEN) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[server,plot]" --group dev
	@touch $@

up: $(VENV)/.ready
	@$(BIN)/stator local up $(ARGS)

test: $(VENV)/.ready
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.ready coverage
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.tidy.generated_code

# Every branch of the pure folders, by their own tests.
coverage: $(VENV)/.ready
	$(BIN)/python -m pytest --quiet --no-header --cov --cov-report=term $(addprefix tests/,$(PURE))

proto: $(VENV)/.ready
	$(BIN)/python -m tests.tidy.generated_code --write

simulate: $(VENV)/.ready
	$(BIN)/python -m tests.simulation $(if $(WORLD),--world $(WORLD)) $(if $(SEED),--seed $(SEED)) $(if $(N),--n $(N)) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

mutants: $(VENV)/.ready
	$(BIN)/python -m tests.mutants $(ARGS)

# Installs Rumur and Spin, the model checkers, where they are missing.
models: $(VENV)/.ready
	@$(BIN)/python -m tests.models.run $(ARGS)

fuzz: $(VENV)/.ready
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz || true
	@$(BIN)/python -m tests.fuzz $(ARGS)

# Needs root and Debian; says so where it cannot be played.
compose: $(VENV)/.ready
	@$(BIN)/python -m tests.deploy.cycle $(ARGS)

bench: $(VENV)/.ready
	$(BIN)/python -m tests.benchmarks $(ARGS)

demo: $(VENV)/.ready
	$(BIN)/python -m tests.demo $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
