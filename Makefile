# medsecure. `make` lists the targets; nothing asks a question.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup repro quick test test-slow lint params same ui story story-scans docs bench fuzz-guard test-team kills test-ray coverage example clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml setup.py constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; say which with PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x "$(BIN)/python" || "$(PYTHON)" -m venv $(VENV)
	"$(BIN)/python" -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP)  ## create .venv with the exact versions of constraints.txt

repro: setup  ## fetch the data, run the whole pipeline, print the comparison
	@test -e data/pima.csv || dvc pull --remote repository data.dvc
	@dvc repro
	@python -m pipeline.report

quick: setup  ## the tests that neither train nor run a stage: under a minute
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not heavy and not slow"

test: setup  ## all tests but the slow ones: under five minutes, with Python alone
	@test -e data/pima.csv || dvc pull --remote repository data.dvc
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" --durations=15

test-slow: setup  ## what CI runs beside them: the guides done as they stand, for minutes
	@test -e data/pima.csv || dvc pull --remote repository data.dvc
	@python -m pytest -n 2 --dist loadfile -m slow --durations=5 --ignore tests/team --ignore tests/sweep/test_on_ray.py

lint: setup  ## style, types, and the floors of the house
	@ruff check .
	@ruff format --check .
	@mypy
	@lint-imports

params: setup  ## write params.yaml from conf/
	@python -m pipeline.params

same: setup  ## prove that results did not change: make same BASE=<commit or folder> [TOLERANCE=1e-6] [OVERRIDES=experiment=smoke]
	@python -m benchmarks.same "$(BASE)" $(if $(TOLERANCE),--tolerance=$(TOLERANCE)) $(OVERRIDES)

ui: setup  ## open MLflow's table of runs on http://127.0.0.1:5000, and print its address
	@medsecure ui

story: setup  ## deployed models are attacked, stopped, looked into, replaced: docs/story.md, on the last run
	@python docs/story.py

story-scans: setup  ## the same of a CNN alone, which needs no run: minutes
	@python docs/story.py scans

docs: setup  ## the documentation as a site that needs no network: site/index.html
	@PYTHONDONTWRITEBYTECODE=1 mkdocs build --quiet --strict

bench: setup  ## speed and quality side by side with other tools; writes benchmarks/latest.json
	@"$(BIN)/python" -m pip install --quiet -c constraints.txt -e '.[bench]'
	@"$(BIN)/python" -m pip install --quiet -c constraints.txt --no-deps torchattacks
	@"$(BIN)/python" -m pip install --quiet -c constraints.txt --no-deps --ignore-requires-python tabularbench pymoo autograd
	@python -m benchmarks

fuzz-guard: setup  ## the guard asked by schemathesis in every role; writes benchmarks/fuzz.json: make fuzz-guard FUZZ=<its command>
	@python -m benchmarks.fuzz "$(or $(FUZZ),schemathesis)"

test-team: setup  ## sweeps, claims and DVC on PostgreSQL, S3 and MLflow's server, on loopback: make test-team [RCLONE=its command]
	@"$(BIN)/python" -m pip install --quiet -c constraints.txt -e '.[team]'
	@test -e data/pima.csv || dvc pull --remote repository data.dvc
	@RCLONE="$(RCLONE)" python -m pytest -q --timeout=600 -rs tests/team

kills: setup  ## kill workers of the guard at 50 moments, and writers of its log: minutes
	@KILLS=50 python -m pytest -q --timeout=1800 -m slow -k killed tests/serving

test-ray: setup  ## sweeps and blocks on Ray and submitit, with workers, a node and a sweep killed in the middle: minutes
	@"$(BIN)/python" -m pip install --quiet -c constraints.txt -e '.[ray,slurm]'
	@python -m pytest -q --timeout=1800 -m slow -k "$(or $(ONLY),ray or submitit)" \
	tests/sweep/test_on_ray.py tests/sweep/test_on_submitit.py tests/test_parallel.py tests/risks/evasion/measure/test_blocks.py

coverage: setup  ## how often intervals hold what they should, in made-up cohorts: hours, goes on where it stopped
	@python -m benchmarks.coverage stand_ins 1000
	@python -m benchmarks.coverage own 200

example: setup  ## the report of the last run into docs/example, dated by the last commit
	@rm -rf docs/example
	@set -e; export SOURCE_DATE_EPOCH="$$(git log -1 --format=%ct)"; \
	for cut in full facts privacy; do python -m pipeline.report --export docs/example --for $$cut; done
	@rm -f docs/example/report.pdf  # as large as the page, and the same
	@du -ch docs/example/* | tail -1

clean:  ## remove what the pipeline made; keeps the data and the environment
	rm -rf artifacts sweeps multirun site .same mlflow.db mlflow.db.lock mlartifacts
