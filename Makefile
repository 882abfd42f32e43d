# make install | quickstart | test | test-tools | fast | check | docs | coverage | bench | share | dist | binary | clean
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Set in many container images. The tests start hundreds of processes, which would each compile their modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install quickstart test test-engine test-tools fast check docs coverage format bench share dist binary clean tools

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[engine,docker,web,mcp,notify,tensorboard]' --group dev
	@$(BIN)/python -m compileall -q taod tui store runners
	@touch $@

quickstart: install
	$(BIN)/taod quickstart --keep

# Programs that some tests run: tmux for the dashboard, a container engine, a one-node Slurm cluster, task-spooler,
# readers of manual pages, shells.
# Tests whose program is missing are skipped with that reason.
PROGRAMS := tmux:tmux dockerd:docker.io busybox:busybox-static docker-registry:docker-registry podman:podman slurmctld:slurm-wlm munged:munge tsp:task-spooler groff:groff man:man-db mandoc:mandoc zsh:zsh fish:fish

tools:
	@missing=; for each in $(PROGRAMS); do command -v "$${each%%:*}" >/dev/null 2>&1 || missing="$$missing $${each##*:}"; done; \
	[ -z "$$missing" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && apt-get -qq update \
	  && apt-get -qq install -y --no-install-recommends $$missing >/dev/null; } || echo "not installed:$$missing"

# Each worker runs whole files, the longest first (tests/conftest.py): most tests wait for processes that they start.
WORKERS ?= 2

test: install tools
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# NVIDIA's own packages, installed from the configured index into TOOLS_ROOT, which keeps them for the next run.
TOOLS_ROOT ?= $(HOME)/.cache/taod-tools

test-tools: install
	TAOD_TOOLS_ROOT=$(TOOLS_ROOT) $(BIN)/python -m pytest -m tools tests/tools

# MLflow and Weights & Biases: 100 MB that no other test needs.
test-trackers: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mlflow,wandb]'
	$(BIN)/python -m pytest tests/trackers

test-engine: install
	TAOD_EVERY_NETWORK=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m engine tests/engine tests/e2e/test_detectors.py tests/e2e/test_coco_detectors.py tests/e2e/test_classifiers.py tests/e2e/test_segmentation.py

# Importing torch alone takes each worker 8 s.
fast: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not slow' --ignore tests/engine

coverage: install tools
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-report=html

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_any_count.py
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m bench

# Manual pages and completions, from the definitions of the commands.
share: install
	$(BIN)/python bundle/share.py

# Wheel and source distribution.
dist: install
	$(BIN)/python -m build

# One executable with the core and Python: dist/taod. It needs a C library as new as this machine's.
binary: install
	$(BIN)/python bundle/binary.py

clean:
	rm -rf $(VENV) build dist site htmlcov .coverage* .pytest_cache .ruff_cache .mypy_cache .hypothesis
