# The system's Python where it will do, with which all here takes a quarter less time: distributions build theirs with
# optimizations, and pyenv does not unless told to. `make PYTHON=python3` takes another.
ifndef PYTHON
SYSTEMS := /usr/bin/python3
PYTHON := $(shell $(SYSTEMS) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $(SYSTEMS) || echo python3)
endif
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 4321
COUNT ?= 1000000
SEED ?= 1
START ?= 0
# Of the benches of speed: seconds of each measurement, measurements of each figure, seconds that 1,000 req/s are held.
# `make bench-service SECONDS=2 ROUNDS=1 HELD=5 EDITORS=20000` only shows that it runs.
SECONDS ?= 10
ROUNDS ?= 5
HELD ?= 60
EDITORS ?= 2000000

.PHONY: run test coverage test-browser screenshots lint clean lock bench-quality bench-learning bench-engine \
	bench-preprocessing bench-service bench-predict-file bench-held bench-peers bench-cold bench-engines spark load fuzz docs chaos overload attack soak cluster

run: $(VENV)/installed
	exec $(BIN)/sb-api run --port $(PORT)

# Three at a time on two cores: tests wait for a third of their time. Hundreds of processes are started, and each would
# compile all modules anew where the environment keeps them from being stored.
test coverage: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder

# The same tests in twice the time: before Python 3.14 every line of every library is looked at.
coverage: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder --cov --cov-report=
	$(BIN)/python -m coverage combine --quiet --append 2>/dev/null || true
	$(BIN)/python -m coverage report

# The page in a real Chromium, with screenshots in build/screenshots.
test-browser: $(VENV)/installed-dev
	$(BIN)/python -m pytest tests/system/test_browser.py

# The pictures of the README.
screenshots: test-browser
	$(BIN)/python -m tests.support.browsers

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive sb_api
	$(BIN)/python .ci/audit.py

bench-quality: $(VENV)/installed-dev
	$(BIN)/python -m bench.quality.quality

bench-learning: $(VENV)/installed-dev
	$(BIN)/python -m bench.learning.learning

bench-engine: $(VENV)/installed-dev
	$(BIN)/python -m bench.speed.engine

bench-preprocessing: $(VENV)/installed-dev
	$(BIN)/python -m bench.speed.preprocessing

# Everything about speed, in half an hour; needs wrk. Parts: `bench/speed/service.py --only NAME,...`.
bench-service: $(VENV)/installed-dev
	$(BIN)/python -m bench.speed.service --seconds $(SECONDS) --rounds $(ROUNDS) --held $(HELD) --count $(EDITORS)

bench-predict-file: $(VENV)/installed-dev
	$(BIN)/python -m bench.speed.service --only file --count $(EDITORS)

# 1,000 requests a second, held open-loop for ten minutes.
bench-held: HELD = 600
bench-held: $(VENV)/installed-dev
	$(BIN)/python -m bench.speed.service --only open --held $(HELD)

# The first run installs the peers in .venv-peers, which takes minutes and a gigabyte.
bench-peers: $(VENV)/installed-dev
	$(BIN)/python -m bench.peers.compare --seconds $(SECONDS) --rounds $(ROUNDS)

bench-cold: $(VENV)/installed-dev
	$(BIN)/python -m bench.speed.cold

# Tables of EDITORS made-up editors, judged by one and by two worker processes of Dask.
bench-engines: $(VENV)/installed-dev
	$(BIN)/python -m bench.speed.engines --count $(EDITORS)

# The example in a real local Spark, which needs Java 17; the first run puts half a gigabyte into .venv-spark.
spark: $(VENV)/installed-dev
	test -d .venv-spark || $(BIN)/python -m pip install --quiet --disable-pip-version-check --target .venv-spark 'pyspark>=4,<5'
	PYTHONPATH=.venv-spark:. $(BIN)/python -m tools.spark

load: $(VENV)/installed-dev
	$(BIN)/python -m tools.load.run

# Raw requests made from a seed; START goes on where a run was ended.
fuzz: $(VENV)/installed-dev
	$(BIN)/python -m tools.fuzzer --count $(COUNT) --seed $(SEED) --start $(START)

# The reference, which a test compares with the code.
docs: $(VENV)/installed
	$(BIN)/python docs/reference/generate.py

# Faults and overload, about half an hour; as root, who alone can make disks that are full, and with the Debian
# packages faketime, mariadb-server and postgresql.
chaos: $(VENV)/installed-dev
	$(BIN)/python -m tools.chaos --seed $(SEED)

overload: $(VENV)/installed-dev
	$(BIN)/python -m tools.chaos --seed $(SEED) --only overload

# What one client can do to a service with credentials, and the requests that cost most; about five minutes.
attack: $(VENV)/installed-dev
	$(BIN)/python -m tools.attack --seed $(SEED)

# COUNT records, and a training for every thousand of them.
soak: $(VENV)/installed-dev
	$(BIN)/python -m tools.soak --count $(COUNT) --seed $(SEED)

# Many machines as network namespaces; as root.
cluster: $(VENV)/installed-dev
	$(BIN)/python -m tools.cluster.run --seed $(SEED)

# The lock files name every package with its hashes, so nothing is resolved anew and nothing else is installed.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps

# An environment of another Python is made anew: what is in it would be of no use to this one.
$(VENV)/installed: requirements.lock setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "sb_api needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $$(test "$$($(PYTHON) -V)" = "$$($(BIN)/python -V 2>&1)" || echo --clear) $(VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	touch $@

# Resolves the ranges of setup.py anew. Each file holds all of the one before: what serves, what learns too, what tests.
# tf_keras, which writes the files of the original project for a test, asks for the GPU build of tensorflow.
LOCK := .venv-lock/bin/uv pip compile setup.py --quiet --generate-hashes --no-annotate --no-header --python-version 3.11

lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	echo "tensorflow; sys_platform == 'never'" > .venv-lock/overrides
	$(LOCK) --extra learning --extra test --extra lint --override .venv-lock/overrides --output-file requirements-dev.lock
	$(LOCK) --extra learning --constraint requirements-dev.lock --output-file requirements.lock
	$(LOCK) --constraint requirements.lock --output-file requirements-serving.lock
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) build *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache
