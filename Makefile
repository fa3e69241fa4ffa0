# FairMind Serving: every task a person or CI runs. `make help` lists them.
# Needs git, make, Python 3.11 to 3.13 with venv, and CA certificates; everything else comes from PyPI, at locked versions.

PYTHON ?= python3
ARGS ?=
UV_VERSION := 0.13.9

# Test groups beside the default one, each a pytest marker; `make test-all` and CI run them, with their minutes.
TEST_GROUPS := clients debian long
EMPTY :=
ANY_GROUP := $(subst $(EMPTY) $(EMPTY), or ,$(TEST_GROUPS))
# Two workers, a file each at a time: the end-to-end tests of one file share a server. In the order of their names, in
# which the slowest come first; by the number of their tests, the slowest would be left to the end.
PYTEST := .venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

UV := .tools/bin/uv
EXPORT := $(UV) export --quiet --frozen --no-default-groups --no-emit-project --no-hashes --no-annotate --no-header

PROTOC := .venv/bin/python -m grpc_tools.protoc -I inference

export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
export WANDB_ERROR_REPORTING := false
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- set up ---------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: .venv/.synced ## install everything into .tools/ and .venv/ (instant when nothing changed)

.tools/.uv-$(UV_VERSION):
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit((3, 11) > v[:2] or v[:2] > (3, 13))' 2>/dev/null \
	  || { echo "make: '$(PYTHON)' is not Python 3.11, 3.12 or 3.13; name one that is: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "make: '$(PYTHON)' has no venv module; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "installing uv $(UV_VERSION) into .tools/"
	@$(PYTHON) -m venv --clear .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@touch $@

.venv/.synced: .tools/.uv-$(UV_VERSION) pyproject.toml uv.lock
	@echo "installing the locked dependencies into .venv/"
	@$(UV) sync --frozen --extra explain --python $(PYTHON)
	@touch $@

# ---- use ------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## the main job on real data, end to end; serves until Ctrl-C (ARGS=--exit stops when done)
	@.venv/bin/fairmind demo $(ARGS)

.PHONY: example-drift
example-drift: setup ## train on the census of 2015, meet 2016 to 2018: the numbers and pictures of docs/drift.md
	@.venv/bin/python -m training.census_drift $(ARGS)

# ---- test -----------------------------------------------------------------------------------------------------------

.PHONY: test
test: setup ## the tests; narrow them with ARGS="-k words" or ARGS=tests/unit/fairness
	@$(PYTEST) -m "not ($(ANY_GROUP))" $(ARGS)

# What the tests of the group `debian` run: Debian's own packages, and Grafana's types from npm, in build/.
DEBIAN_PACKAGES := prometheus prometheus-alertmanager
GRAFANA_SCHEMA := 11.6.0
TYPESCRIPT := 5.9.3

.PHONY: debian-packages
debian-packages: ## install what the test group `debian` runs: Prometheus, Alertmanager; Grafana's types with npm
	@missing=; for package in $(DEBIAN_PACKAGES) $$(command -v npm >/dev/null || echo nodejs npm); do \
	  dpkg-query --show --showformat='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	command -v apt-get >/dev/null || { echo "make: there is no apt-get here; install$$missing by hand" >&2; exit 1; }; \
	[ "$$(id -u)" -eq 0 ] && as_root= || as_root=sudo; \
	[ -z "$$as_root" ] || command -v sudo >/dev/null \
	  || { echo "make: installing$$missing takes root or sudo; or let somebody: apt-get install$$missing" >&2; exit 1; }; \
	echo "installing$$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	$$as_root apt-get -qq update && $$as_root apt-get -qq -y --no-install-recommends install $$missing >/dev/null
	@[ -d build/grafana-schema/node_modules/@grafana/schema ] || { mkdir -p build/grafana-schema \
	  && npm install --silent --no-audit --no-fund --prefix build/grafana-schema \
	    "@grafana/schema@$(GRAFANA_SCHEMA)" "typescript@$(TYPESCRIPT)"; }

.PHONY: test-groups
test-groups: setup debian-packages
	@for group in $(TEST_GROUPS); do \
	  started=$$(date +%s); status=0; \
	  $(PYTEST) -m "$$group" || status=$$?; \
	  [ $$status -eq 0 ] || [ $$status -eq 5 ] || exit $$status; \
	  [ $$status -eq 0 ] || echo "group $$group: has no tests yet"; \
	  awk -v s="$$started" -v e="$$(date +%s)" -v g="$$group" 'BEGIN {printf "group %s: %.1f minutes\n", g, (e - s) / 60}'; \
	done

.PHONY: test-all
test-all: test test-groups ## the tests, then every marked group with its minutes

.PHONY: check
check: lint test ## what CI runs: format, lint, types, contracts, generated files, tests

.PHONY: lint
lint: setup ## ruff, mypy, import contracts, and whether the generated files are fresh
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@$(UV) lock --check --quiet || { echo "uv.lock does not fit pyproject.toml: .tools/bin/uv lock" >&2; exit 1; }
	@$(EXPORT) | diff -u bentos/requirements.txt - || { echo "bentos/requirements.txt is stale: make generate" >&2; exit 1; }
	@$(PROTOC) --descriptor_set_out=/dev/stdout inference.proto | cmp -s inference/inference.desc - \
	  || { echo "inference/inference.desc is stale: make generate" >&2; exit 1; }
	@.venv/bin/python -m bentos.configuration | diff -u docs/configuration.md - \
	  || { echo "docs/configuration.md is stale: make generate" >&2; exit 1; }
	@.venv/bin/python -m bentos.configuration env | diff -u .env.example - \
	  || { echo ".env.example is stale: make generate" >&2; exit 1; }
	@rm -rf build/dashboards && .venv/bin/python -m monitoring.dashboards.build build/dashboards \
	  && diff -ru monitoring/grafana/dashboards build/dashboards \
	  || { echo "monitoring/grafana/dashboards is stale: make generate" >&2; exit 1; }

.PHONY: format
format: setup ## format the code and mend what ruff can mend
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

.PHONY: generate
generate: setup ## write the generated files: requirements, settings, dashboards, the compiled inference.proto
	@mkdir -p build
	@$(PROTOC) --descriptor_set_out=build/generated inference.proto && mv build/generated inference/inference.desc
	@$(EXPORT) > build/generated && mv build/generated bentos/requirements.txt
	@.venv/bin/python -m bentos.configuration > build/generated && mv build/generated docs/configuration.md
	@.venv/bin/python -m bentos.configuration env > build/generated && mv build/generated .env.example
	@.venv/bin/python -m monitoring.dashboards.build monitoring/grafana/dashboards

# ---- push -----------------------------------------------------------------------------------------------------------

.PHONY: bench
bench: setup ## beside peers and against targets, into docs/benchmarks.md (ARGS="--quick --only one_row --no-peers": a look)
	@.venv/bin/python -m loadtests.bench.run $(ARGS)

.PHONY: loadtest
loadtest: setup ## locust against a server of its own; the SLOs are the exit status
	@.venv/bin/python -m loadtests.run $(ARGS)

# ---- release --------------------------------------------------------------------------------------------------------

.PHONY: release-check
release-check: setup ## is this commit fit to be tagged? (clean tree, fresh lock, changelog section, a clone that passes)
	@test -z "$$(git status --porcelain)" || { echo "the work tree is not clean: commit or stash first" >&2; exit 1; }
	@version=$$($(UV) version --short) && grep -q "^## \[$$version\]" CHANGELOG.md \
	  || { echo "CHANGELOG.md has no section for version $$version" >&2; exit 1; }
	@rm -rf build/release-check
	@git clone --quiet . build/release-check
	@$(MAKE) --no-print-directory -C build/release-check check test-groups PYTHON=$(PYTHON)
	@rm -rf build/release-check
