# The backend roadmap course. `make help` lists what there is.

PYTHON ?= python3
BIN := .venv/bin
# Where JupyterLab opens: the dashboard, already running.
LAB_URL ?= /lab/tree/dashboard.ipynb
# Further options for JupyterLab: make lab LAB_ARGS="--no-browser --port=9999"
LAB_ARGS ?=

# Notebooks, nbgrader and terminals find the course's own commands.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help lab install install-test test build lint lock clean python sources

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | \
	    while IFS="$$(printf '\t')" read -r name what; do printf 'make %-13s %s\n' "$$name" "$$what"; done

lab: install  ## install what is missing, then open JupyterLab on the dashboard
	@echo "==> opening JupyterLab on the dashboard; Ctrl-C here ends it"
	@exec $(BIN)/jupyter lab --LabApp.default_url=$(LAB_URL) --log-level=WARN \
	    $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

install: python  ## install what learning needs into .venv, without opening anything
	@$(PYTHON) requirements/install.py lab

install-test: python
	@$(PYTHON) requirements/install.py test

test: sources install-test  ## run everything that this machine can; make test CHANGED=1: what changed, in minutes
	@$(BIN)/python tests/run.py $(if $(filter-out 0,$(CHANGED)),--changed)

build: sources install  ## build course/, solutions/ and exercises/ from content/
	@$(BIN)/roadmap build

lint: sources install-test  ## hold code and content against the project's rules
	@$(BIN)/python tests/run.py --only static --only content

COMPILE = UV_SYSTEM_CERTS=1 $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-annotate --override requirements/overrides.txt --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

lock: python  ## pin the requirements anew after a change in a .in file; make lock UPGRADE=1: the newest versions
	@$(PYTHON) requirements/install.py tools
	$(COMPILE) requirements/tools.in -o requirements/tools.txt
	$(COMPILE) requirements/test.in -o requirements/test.txt
	$(COMPILE) requirements/lab.in -c requirements/test.txt -o requirements/lab.txt
	$(PYTHON) requirements/conda.py

clean:  ## remove the environment and caches; your work/ and classroom/ stay
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

sources:
	@test -d content || { \
	    echo "make: this tree was made for learners and has no sources or tests; clone the course's repository"; exit 1; } >&2

python:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "make: there is no $(PYTHON). On Debian and Ubuntu: sudo apt-get install python3 python3-venv"; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "make: $$($(PYTHON) --version) is too old: the course needs Python 3.11, 3.12 or 3.13."; \
	    echo "      Name a newer one: make lab PYTHON=python3.12"; exit 1; } >&2
