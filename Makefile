# Every target does all its own set-up: a virtual environment from the lock files, and the system packages that are missing.
.DEFAULT_GOAL := help
.PHONY: help demo test crash soak lint format picture bench lock setup setup-dev

PYTHON ?= python3
BIN := .venv/bin

help: ## these lines
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

demo: setup ## a whole machine on this computer, with simulated WeChat Pay and board, and a phone to pay with
	@$(BIN)/kiosk demo

test: lint ## lint, types and all tests
	@$(BIN)/pytest -n auto --dist worksteal

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

picture: setup ## take the README's picture anew: the screen of the demo's machine
	@$(BIN)/python docs/take_picture.py

bench: setup-dev ## this machine beside what people would use instead (docs/performance.md); six minutes
	@$(BIN)/python -m bench

# uv resolves for every platform and Python at once. The build tool is locked too: nothing is installed unchecked.
COMPILE := $(BIN)/uv pip compile pyproject.toml - --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-header --no-emit-index-url --quiet
BUILD_TOOLS := $(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'

lock: setup-dev ## resolve the newest versions into requirements.lock and requirements-dev.lock
	@$(BIN)/pip install --quiet uv
	@$(BUILD_TOOLS) | $(COMPILE) --extra window --output-file requirements.lock
	@$(BUILD_TOOLS) | $(COMPILE) --extra window --group dev --constraint requirements.lock --output-file requirements-dev.lock

setup:
	@PYTHON='$(PYTHON)' sh .ci/setup.sh run

setup-dev:
	@PYTHON='$(PYTHON)' sh .ci/setup.sh dev
