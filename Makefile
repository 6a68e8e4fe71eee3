# `make help` lists what there is to do. Python 3.11 (or newer) and make are all it takes.
SHELL := /bin/sh
PYTHON ?= python3
RUN := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run up-distributed down test check bench soak new-service lock setup setup-dev
MAKEFLAGS += --no-print-directory
# The S3 store of the tests: a script of infra/servers.
STORE ?= seaweedfs
# Half of a test's time is waiting, for servers and for processes that were killed: three at once on two cores, a file staying together.
AT_ONCE ?= -n 3 --dist loadfile --no-loadscope-reorder
# A process that may not keep its compiled modules takes three times as long to start, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: setup ## the whole suite in one process, with three demonstration ministries (PARVIS_PORT, PARVIS_DATA)
	@exec .venv/bin/parvis up --demo

up-distributed: setup ## the same suite as on a cluster: each service a process, on PostgreSQL, Kafka and S3, behind a proxy
	@exec $(RUN) -m parvis_suite.distributed up

down: setup ## stop what up-distributed has started; its data stay in data/distributed
	@exec $(RUN) -m parvis_suite.distributed down

test: setup-dev ## every test, on SQLite and on a real PostgreSQL, Kafka and S3 store that it starts itself (T=tests/kit for a part, T="-k words", STORE=minio_server)
	@PARVIS_TEST_S3=$(STORE) exec $(RUN) -m pytest $(AT_ONCE) $(T)

check: setup-dev ## style, types, walls, house rules, schemas, known vulnerabilities: under 3 minutes
	@exec $(RUN) infra/run-checks.py

bench: setup-dev ## each performance bar beside its floor, measured in the same run
	@exec $(RUN) infra/run-benches.py $(T)

soak: setup-dev ## the long tests: 500,000 simulated histories, 20 rounds of every kill, a million facts that wait, half an hour of load
	@SOAK=1 exec $(RUN) -m pytest -m soak -o faulthandler_timeout=14400 $(T)

new-service: setup-dev ## NAME=x: a service that runs, publishes, reacts and is tested
	@exec $(RUN) -m parvis_suite.new_service $(NAME)

lock: setup-dev ## resolve the dependencies of pyproject.toml anew into the two locks
	@.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --group setup pyproject.toml -o requirements.lock
	@.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

setup:
	@$(PYTHON) infra/set-up.py run

setup-dev:
	@$(PYTHON) infra/set-up.py dev
