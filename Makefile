# The project's only door: people and CI use the same targets. Each installs what it needs the first time.

.DEFAULT_GOAL := help

# The first Python here that is new enough; `make PYTHON=… TARGET` names another.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
endif

NAME ?= stack
FUZZ_SECONDS ?= 60
RUN := .venv/bin/python
STACK := $(RUN) -m deploy.local

.PHONY: help demo up down status check test fuzz bench docs pictures promises format python packages servers readers

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: servers ## show the main job from request to revoked certificate, with everything set up and taken down
	@$(RUN) -m deploy.local.demo

up: servers ## start broker, database, DigiCert sandbox and the four duties (NAME=…, UP_ARGS="--broker-port 5672 …")
	@$(STACK) up --name $(NAME) $(UP_ARGS)

down: packages ## stop what `make up` started and keep its data (NAME=…)
	@$(STACK) down --name $(NAME)

status: packages ## say what of `make up` is running (NAME=…)
	@$(STACK) status --name $(NAME) || test $$? -eq 3

check: packages ## lint, formatting, types and the layers' rules
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	.venv/bin/lint-imports

test: servers readers ## all tests, in random order on two processes (PYTEST_ARGS="tests/unit -k name")
	$(RUN) -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

fuzz: python ## look for input that breaks intake, with atheris in an environment of its own (FUZZ_SECONDS=60)
	@$(PYTHON) -m deploy.local.install fuzzer
	@.venv-fuzz/bin/python -m fuzz run --seconds $(FUZZ_SECONDS)

bench: servers ## what screening costs, what hostile requests do to intake, and what many requests do to lists (BENCH_ARGS=--json)
	@$(RUN) -m bench $(BENCH_ARGS)

docs: packages ## write the pages that are made from the code: docs/findings.md
	@$(RUN) -m deploy.docs

pictures: packages ## take the pictures of the full-screen desk again: docs/pictures
	@$(RUN) -m deploy.docs.pictures

promises: servers ## try what the design promises, one by one, on a running system
	@$(RUN) -m deploy.local.promises

format: packages ## put the code into its form and mend what can be mended by itself
	$(RUN) -m ruff format
	$(RUN) -m ruff check --fix

python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed. Name it: make PYTHON=python3.12 …" >&2; exit 1; }

packages: python
	@$(PYTHON) -m deploy.local.install packages

servers: packages
	@$(PYTHON) -m deploy.local.install broker openssl

readers: python
	@$(PYTHON) -m deploy.local.install readers
