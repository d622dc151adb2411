# Two targets do everything on a fresh machine with Python 3.10 or newer: `make benchmark` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Apart from the rest: torchattacks holds a version of requests that the theme of the site refuses.
SITE := .venv-site

.PHONY: benchmark browser tune test prepared lint test-fast docs install clean

install: $(VENV)/installed

# Written last, so that an interrupted installation is started again. Few of the modules are ever imported, and those are
# compiled then.
$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable ".[test]"
	touch $@

benchmark: install
	$(BIN)/python run_benchmark.py --defenses all

# The constants of the defenses: trials on classes held out of the training classes (docs/tuning.md).
tune: install
	$(BIN)/python run_benchmark.py --defenses all --seeds 0 --tune 16 --output results/tuning

$(SITE)/installed: docs/_site/requirements.txt
	test -x $(SITE)/bin/python || $(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --requirement $<
	touch $@

test:
	$(MAKE) --no-print-directory --jobs 2 prepared
	$(BIN)/python -m pytest -n 3 --dist worksteal

# What can be done at a time before the tests: each uses one core, or waits for what it fetches.
prepared: lint $(SITE)/installed

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Debian's chromium, which the tests of the page need; without it they are skipped.
browser:
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; }

# Without the slow tests and the linters: what one runs while working.
test-fast: install
	$(BIN)/python -m pytest -n 2 -m "not slow"

# The site of the documentation, in site/; a warning fails it (not with --quiet, which counts none).
# The tests build it too. The variable silences a banner.
docs: $(SITE)/installed
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) $(SITE) build site *.egg-info
