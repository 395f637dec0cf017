# Every target does all its own set-up: a virtual environment from the lock files, and the system packages that are missing.
.DEFAULT_GOAL := help
.PHONY: help demo test crash soak lint format picture bench lock deb audit setup setup-dev

PYTHON ?= python3
BIN := .venv/bin
# Most tests wait (for a motor, a time limit, a browser) more than they work: two at once on each core.
WORKERS := $(shell expr 2 \* $$(nproc))

help: ## these lines
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: setup ## a whole machine on this computer, with simulated WeChat Pay and board, and a phone to pay with
	@$(BIN)/kiosk demo

test: lint ## lint, types and all tests
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal

crash: setup-dev ## kill machines at 1000 random moments of whole sales; a quarter of an hour
	@PYTHONPATH=.:tests $(BIN)/python tests/crash_storm.py

soak: setup-dev ## 2000 random lives of a machine in virtual time, 100,000 steps; half an hour
	@SOAK_LIVES=2000 $(BIN)/pytest -q tests/faults/test_random_lives.py

lint: setup-dev ## style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: setup-dev ## put the source into the form that lint asks for
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

picture: setup-dev ## take the README's pictures anew: the screen of the demo's machine, the technician's page
	@$(BIN)/python docs/take_picture.py

bench: setup-dev ## this machine beside what people would use instead (docs/performance.md); four minutes
	@$(BIN)/python -m bench

# uv resolves for every platform and Python at once. The build tool is locked too: nothing is installed unchecked.
COMPILE := $(BIN)/uv pip compile pyproject.toml - --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-header --no-emit-index-url --quiet
BUILD_TOOLS := $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'

lock: setup-dev ## resolve the newest versions into requirements.lock and requirements-dev.lock
	@$(BIN)/pip install --quiet uv
	@$(BUILD_TOOLS) | $(COMPILE) --extra window --output-file requirements.lock
	@$(BUILD_TOOLS) | $(COMPILE) --extra window --group dev --constraint requirements.lock --output-file requirements-dev.lock

deb: setup ## a Debian package for this computer's release and processor, in dist/
	@sh packaging/deb.sh

# In an environment of its own: the tool brings packages that the machine's locks do not know.
audit: setup-dev ## ask the public database of advisories about every locked version
	@[ -x .venv/audit/bin/pip-audit ] || { $(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install --quiet --quiet pip-audit; }
	@$(BIN)/python packaging/audit.py .venv/audit/bin/pip-audit requirements-dev.lock

setup:
	@PYTHON='$(PYTHON)' sh .ci/setup.sh run

setup-dev:
	@PYTHON='$(PYTHON)' sh .ci/setup.sh dev
