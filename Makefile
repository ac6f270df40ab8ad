# Every target makes the virtual environment it needs. PYTHON=python3.12 make test takes another.
PYTHON ?= python3
BIN := .venv/bin
RUN := OMP_NUM_THREADS=1 $(BIN)
# Python compiles what it imports when it does; pip would take two minutes for all that never is.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

TESTS := $(RUN)/python -m pytest --numprocesses 2 --dist worksteal

.PHONY: demo check test tests test-full lint lab notebooks docs picture cards bench clean

demo: .venv/core.stamp  ## frames to flow to LOSO training to report, on the built-in faces
	$(RUN)/hmrm demo

check: lint  ## before a commit, in three minutes: lint, types, import rules, quick tests
	$(TESTS) -m "not slow and not full"

test: .venv/dev.stamp  ## all that protects a user; continuous integration runs this
	$(MAKE) --jobs 2 lint tests  # mypy alone takes a minute of one core

tests:
	$(TESTS) -m "not full"

test-full: .venv/dev.stamp  ## the rest, for hours: every kill point, stress, cluster, more pages
	$(TESTS) -m full
	$(RUN)/python -m pytest -c /dev/null --rootdir=notebooks --nbval-lax --nbval-current-env -p no:cacheprovider -n 2 --dist loadfile notebooks

lint: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lab: .venv/dev.stamp  ## JupyterLab on the first notebook
	$(RUN)/jupyter lab notebooks/00_quickstart.ipynb

notebooks: build/notebooks/stamp  ## store in all notebooks what they show (needs chromium)
	$(RUN)/python docs/store_outputs.py
	touch build/notebooks/stamp

docs: build/notebooks/stamp  ## the site: build/site/index.html
	$(RUN)/sphinx-build -W --keep-going -q -c docs -d build/doctrees . build/site

build/notebooks/stamp: .venv/dev.stamp $(wildcard notebooks/*.ipynb) $(shell find hmrm_lab widgets -name "*.py")
	$(RUN)/hmrm notebooks run --out build/notebooks
	touch $@

picture: docs demo  ## the pictures of README and of the notebooks anew: docs/images
	$(RUN)/python docs/make_picture.py
	$(RUN)/python docs/make_thumbnails.py
	$(RUN)/python docs/make_screenshots.py

cards: .venv/dev.stamp  ## docs/systems.md anew, from the cards of the systems
	$(RUN)/python -c "from hmrm_lab.reporting.report import cards_page; print(cards_page('docs/studies'), end='')" > docs/systems.md

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
	$(INSTALL) --editable ".[jupyter,faces,browser,cluster,curves,sweep,docs,dev]"
	touch $@ .venv/core.stamp
