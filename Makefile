# The commands of development. `make` lists them. A Makefile and no justfile: make is on every machine before anything is installed.

PYTHON := .venv/bin/python
CHART := npm run --silent --prefix client/chart

.PHONY: help setup test test-one lint format types bench docs screenshots up plant chart constraints build ci

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

setup:  ## create .venv with everything that development needs, and install the chart's tools
	python3 -m venv .venv
	.venv/bin/pip install -q -c constraints.txt -e '.[dev]'
	npm ci --prefix client/chart --no-audit --no-fund

test:  ## run all tests
	.venv/bin/pytest -n auto
	$(CHART) test

test-one:  ## run one file or test: make test-one FILE=tests/service/test_hub.py
	.venv/bin/pytest $(FILE)

lint:  ## check style and imports
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	$(CHART) lint
	$(CHART) check

format:  ## fix style where that is safe
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	$(CHART) format

types:  ## check types, Python and TypeScript
	.venv/bin/mypy
	$(CHART) typecheck

bench:  ## run one benchmark: make bench NAME=fanout ARGS=--full
	$(PYTHON) benchmarks/$(NAME).py $(ARGS)

docs:  ## write from the code: docs/settings.md, docs/api.md, docs/bundled.cdx.json, the deck's messages.ts
	$(PYTHON) docs/tables.py
	$(PYTHON) docs/message_types.py
	$(PYTHON) .ci/sbom.py > docs/bundled.cdx.json

screenshots:  ## take the README's pictures with Chromium; one: make screenshots ARGS='--only deck-dark'
	$(PYTHON) docs/screenshots.py $(ARGS)

up:  ## run everything on this machine
	.venv/bin/tidewire up

plant:  ## publish the readings of a made-up plant to what `make up` runs
	$(PYTHON) docs/plant.py

chart:  ## build client/tidewire/static/deck.js
	$(CHART) build

constraints:  ## pin the installed versions in constraints.txt
	$(PYTHON) .ci/constraints.py > constraints.txt

build:  ## build the wheel and the sdist into dist/
	$(PYTHON) -m build

ci:  ## run what every change must pass
	.ci/run
