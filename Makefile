# Every target makes the virtual environment it needs. PYTHON=python3.12 make test takes another.
PYTHON ?= python3
BIN := .venv/bin
PROFILE ?= smoke
RUN := OMP_NUM_THREADS=1 $(BIN)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test check browser-test stress-test kill-test lab notebooks gallery cards bench clean

demo: .venv/core.stamp  ## frames to flow to LOSO training to report, on the built-in faces
	$(RUN)/hmrm demo

test: .venv/dev.stamp  ## everything that continuous integration runs
	$(MAKE) check

check: .venv/dev.stamp  ## format, lint, types, import rules, tests, notebooks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(RUN)/python -m pytest -m "not alone" --numprocesses 2 --dist loadfile --no-loadscope-reorder
	$(RUN)/python -m pytest -m alone
	$(MAKE) notebooks

browser-test: .venv/dev.stamp  ## the widgets in JupyterLab and Voila, in headless chromium
	$(RUN)/python -m pytest tests/browser

stress-test: .venv/dev.stamp  ## 32 processes write 1,000 units each into one run folder
	HMRM_STRESS_UNITS=1000 $(RUN)/python -m pytest tests/test_store.py -k many_writers

kill-test: .venv/dev.stamp  ## a run is killed at 221 points, and goes on: three quarters of an hour on two cores
	HMRM_KILLS=200 $(RUN)/python -m pytest tests/evaluation/test_killed.py --numprocesses 2

lab: .venv/dev.stamp  ## JupyterLab on the first notebook
	$(RUN)/jupyter lab notebooks/00_quickstart.ipynb

notebooks: .venv/dev.stamp  ## execute all notebooks as they stand; compare their marked outputs
	$(RUN)/hmrm notebooks check

gallery: .venv/dev.stamp  ## the executed notebooks as pages: build/gallery/index.html
	$(RUN)/hmrm notebooks run --out build/gallery --profile $(PROFILE)

cards: .venv/dev.stamp  ## docs/systems.md anew, from the cards of the systems
	$(RUN)/python -m hmrm_lab.reporting.system_cards > docs/systems.md

bench: .venv/dev.stamp  ## the performance claims, each measured in one run
	$(RUN)/hmrm bench

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/core.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable .
	touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) --editable ".[jupyter,faces,browser,cluster,curves,sweep,dev]"
	touch $@ .venv/core.stamp
