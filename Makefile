# Everything that a developer types. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SITE_READY := .venv/.site

.DEFAULT_GOAL := help
.PHONY: demo test test-fast check bench docs site lock release clean help

demo: $(READY)  ## play the whole loop here, without an account or a model
	@scripts/engine
	@$(BIN)/claude-container demo

test: $(SITE_READY)  ## check, then all tests, those with a real engine included
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory test-fast
	@scripts/engine
	$(BIN)/pytest -m "engine or git"

test-fast: $(READY)  ## half a minute: no engine, no histories of git, no builds
	$(BIN)/pytest -n auto -m "not engine and not git"

check: $(READY)  ## lint, formatting, types, workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/zizmor --offline --quiet --no-progress --persona=pedantic action.yml .github

bench: $(READY)  ## measure what the launcher costs
	@scripts/engine
	$(BIN)/python -m bench.run $(ROWS)

docs: $(READY)  ## write the pages that the code knows, draw the picture anew
	$(BIN)/python scripts/commands.py
	$(BIN)/python scripts/configuration.py
	@scripts/engine
	$(BIN)/python scripts/picture.py

site: $(SITE_READY)  ## build docs/ into build/site; a warning is an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs build/site
	@echo '✓ build/site/index.html'

lock:  ## pin the dependencies anew after a change to pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 \
	  --generate-hashes --no-header --no-annotate -q -o requirements-dev.txt
	$(BIN)/uv pip compile pyproject.toml --extra docs --constraint requirements-dev.txt \
	  --universal --python-version 3.10 --generate-hashes --no-header --no-annotate -q -o docs/requirements.txt
	printf 'hatchling>=1.27\nhatch-fancy-pypi-readme>=24.1\n' | $(BIN)/uv pip compile pyproject.toml - --constraint requirements-dev.txt \
	  --universal --python-version 3.10 --generate-hashes --no-header --no-annotate -q -o ci/requirements.txt

release: $(READY)  ## build what would be published, check it, and say how to publish
	@$(BIN)/python scripts/release.py

clean:  ## remove what make made here; containers and images stay
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

# Quiet unless it fails. Debian splits ensurepip off into python3-venv, so it is
# looked for first; a .venv that works is brought up to date, any other made anew.
$(READY): pyproject.toml requirements-dev.txt
	@log=$$(mktemp) || exit 1; \
	trap 'rm -f "$$log"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	command -v $(PYTHON) >/dev/null || \
	  { echo '✗ no $(PYTHON) here'; echo 'hint: install Python 3.10 or newer, or make PYTHON=…'; exit 1; } >&2; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "✗ $$($(PYTHON) --version) is too old; 3.10 is needed"; echo 'hint: make PYTHON=python3.11'; exit 1; } >&2; \
	if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo '→ installing python3-venv (apt-get)' >&2; \
	    { apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
	      -o DPkg::Lock::Timeout=60 python3-venv; } >"$$log" 2>&1 </dev/null || \
	      { cat "$$log"; echo '✗ apt-get could not install python3-venv'; exit 1; } >&2; \
	  fi; \
	  $(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	    { echo '✗ $(PYTHON) cannot make a virtual environment (it has no ensurepip)'; \
	      echo 'hint: Debian or Ubuntu: sudo apt-get install python3-venv'; exit 1; } >&2; \
	fi; \
	echo '→ setting up .venv (once, about half a minute)' >&2; \
	{ { $(BIN)/python -m pip --version 2>/dev/null || $(PYTHON) -m venv --clear .venv; } && \
	  $(BIN)/python -m pip install -q --no-input --disable-pip-version-check \
	    --require-hashes -r requirements-dev.txt && \
	  $(BIN)/python -m pip install -q --no-input --disable-pip-version-check \
	    --no-deps --no-build-isolation -e . && \
	  touch $@; } >"$$log" 2>&1 </dev/null || \
	  { cat "$$log"; echo '✗ cannot set up .venv'; exit 1; } >&2

# Not on Python 3.10, where all lines of that file are for others: see pyproject.toml.
$(SITE_READY): $(READY) docs/requirements.txt
	@echo '→ installing what builds the site' >&2
	@$(BIN)/python -m pip install -q --no-input --disable-pip-version-check --require-hashes \
	  -r docs/requirements.txt >.venv/site.log 2>&1 || { cat .venv/site.log; exit 1; } >&2
	@touch $@
