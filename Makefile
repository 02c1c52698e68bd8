# Every target does all its own set-up: a virtual environment in .venv and what it needs.
SUPPORTED := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: run test lint coverage wheel

run: .venv/app
	$(BIN)/python -m streamlit run streamlit_app.py --server.port 8501

test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

coverage: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term-missing:skip-covered

wheel: .venv/dev
	$(BIN)/python -m build --no-isolation --outdir out/dist

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/pip:
	@$(or $(PYTHON),false) -c '$(SUPPORTED)' || { \
		echo 'Python 3.11 to 3.14 with venv is needed (Debian, Ubuntu: apt install python3-venv), or name one: make PYTHON=...'; \
		exit 1; }
	$(PYTHON) -m venv .venv

.venv/app: requirements.txt pyproject.toml | $(BIN)/pip
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps -e .
	touch $@

.venv/dev: requirements-dev.txt requirements.txt pyproject.toml | $(BIN)/pip
	$(PIP) install -r requirements-dev.txt
	$(PIP) install --no-deps -e .
	touch .venv/app $@

.PHONY: docs
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/docs: requirements-docs.txt | $(BIN)/pip
	$(PIP) install -r requirements-docs.txt
	touch $@
