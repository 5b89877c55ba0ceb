# Two commands set everything up: `make demo` shows what evalkit does, `make test` shows that it works.
# Both make .venv when it is missing and install only when pyproject.toml or constraints.txt changed.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
KEY := $(shell cat pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
RUN := .venv/.installed-run-$(KEY)
DEV := .venv/.installed-dev-$(KEY)
FUZZ := .venv/.installed-fuzz-$(KEY)
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
DEMO ?= evalkit-demo
WORKERS ?= 2
FUZZ_SECONDS ?= 110
LABELS ?= ../shared/data/alignment/dev.jsonl ../shared/data/alignment/references.jsonl
LABELLED_BY := labelled by language models under written criteria, not by people; most gold lists are a planner's plan standing in, 179 of 2,919 are written references

.PHONY: help calibrations demo test goldens goldens-update figures schemas docs tutorials check browser slow clusters records newer-python bench format clean
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "evalkit needs Python 3.11 or newer and found none; name one: make PYTHON=/path/to/python3.11 demo" >&2; exit 2; fi
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

$(RUN): | $(BIN)/python
	@echo "installing evalkit ..."
	@$(PIP) --upgrade 'pip>=25.1'
	@$(PIP) -c constraints.txt -e .
	@rm -f .venv/.installed-run-* && touch $@

$(DEV): | $(RUN)
	@echo "installing what tests and checks need ..."
	@$(PIP) -c constraints.txt -e '.[all]' --group dev --group docs
	@rm -f .venv/.installed-dev-* && touch $@

demo: | $(RUN) ## score the bundled sample with real embeddings and print the leaderboard
	@$(BIN)/evalkit demo --force $(DEMO)

test: | $(DEV) ## run the tests
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

goldens: | $(DEV) ## run the command as a user does and compare all it writes with tests/goldens
	@$(BIN)/python scripts/goldens.py $(GOLDENS)

goldens-update: | $(DEV) ## write tests/goldens anew, for a change that is meant
	@$(BIN)/python scripts/goldens.py --update

figures: | $(DEV) ## write the table of figures into the documents that show it
	@$(BIN)/python scripts/figure_table.py

browser: | $(DEV) ## run the tests of the HTML report in Chromium, installing it where there is none
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	echo "installing Chromium ..."; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium >/dev/null; \
	else $(BIN)/playwright install chromium; fi
	@EVALKIT_BROWSER=required $(BIN)/python -m pytest -q -m browser -n $(WORKERS)

slow: | $(DEV) ## run the tests that take minutes or need data at full scale
	@$(BIN)/python -m pytest -q -m slow || [ $$? -eq 5 ]  # 5: there is none

clusters: | $(DEV) ## run the tests on a real Dask and a real Ray, on this machine
	@$(BIN)/python -m pytest -q -m clusters

records: | $(DEV) ## check exported records with every_eval_ever's own validator, which needs Python 3.12 and an environment of its own
	@[ -x .venv/every-eval-ever/bin/every_eval_ever ] || { \
		newer=$$($(MAKE) -s newer-python); \
		[ -n "$$newer" ] || { echo "every_eval_ever needs Python 3.12 or newer" >&2; exit 2; }; \
		echo "installing every_eval_ever ..."; \
		$$newer -m venv .venv/every-eval-ever && .venv/every-eval-ever/bin/python -m pip install -qq --disable-pip-version-check 'every-eval-ever==0.3.0'; }
	@EVERY_EVAL_EVER=$(CURDIR)/.venv/every-eval-ever/bin/every_eval_ever $(BIN)/python -m pytest -q tests/test_every_eval_ever.py

newer-python:
	@for p in python3.12 python3.13 python3.14 python3 "$$HOME"/.pyenv/versions/3.1[2-9]*/bin/python3; do \
		$$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done; true

faults: | $(DEV) ## kill runs, fill disks and break caches, and print what came of it
	@$(BIN)/python -m pytest -q -m slow tests/test_faults.py

$(FUZZ): | $(DEV)
	@echo "installing what fuzzing and mutation testing need ..."
	@$(PIP) -c constraints.txt --group fuzz || \
		{ echo "atheris or mutmut cannot be installed here: they come for Linux and macOS" >&2; exit 2; }
	@rm -f .venv/.installed-fuzz-* && touch $@

fuzz: | $(FUZZ) ## fuzz everything that reads files; FUZZ_SECONDS=600 for longer
	@$(BIN)/python scripts/fuzz.py --seconds $(FUZZ_SECONDS)

mutants: | $(FUZZ) ## change the code that decides and scores, piece by piece, and list what no test notices
	@$(BIN)/python scripts/mutants.py

bench: | $(DEV) ## measure what scoring costs, beside a notebook's way of doing it
	@$(BIN)/python scripts/bench.py $(BENCH)

schemas: | $(DEV) ## write the JSON Schemas that ship, from the code
	@$(BIN)/python scripts/schemas.py

docs: | $(DEV) ## build the documentation's site in docs/_build, warnings are errors; run what its pages show
	@$(BIN)/python -m sphinx -q -W --keep-going -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"
	@$(BIN)/python -m pytest -q -m docs -n $(WORKERS)

tutorials: | $(DEV) ## write what the tutorials' commands print into them
	@$(BIN)/python tests/test_tutorials.py

check: | $(DEV) ## lint, formatting, types, and the house rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python scripts/figure_table.py --check
	@$(BIN)/python -m pytest -q tests/test_house.py

calibrations: | $(DEV) ## fit the shipped calibrations anew; LABELS names the labelled pairs
	@for made in hybrid lexical embedding "hybrid --model all-MiniLM-L6-v2"; do name=$${made%% *}; \
		[ "$$name" = "$$made" ] || name=$$name-minilm; \
		$(BIN)/evalkit calibrate --matcher $$made $(LABELS:%=--labels %) --force --note "$(LABELLED_BY)" \
		--out configs/calibration/$$name.json || exit 1; done

format: | $(DEV) ## mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove the environment and everything made
	rm -rf .venv dist build mutants .fuzz .pytest_cache .mypy_cache .ruff_cache .hypothesis $(DEMO)
