# make setup     what the other targets need: system packages (apt, if root) and the Python environment .venv
# make demo      installs the package into .venv, builds the C++ examples, runs examples/flights_demo.py
# make test      everything CI runs: formats, C++ with GCC, clang and sanitizers, the installed library, types, the demo, Python
# make test-all  test, then what takes long: clang-tidy, the exhaustive checks, a longer fuzz run, large files; and Beam
# make test-scale  files as large as people have, killed and resumed; a year of days; a million keys: five minutes
# make test-beam  the recipe for Beam, whose pyarrow and protobuf are older than ours, in .venv-beam
# make bench     everything measured, half an hour: rewrites the tables of docs/benchmarks.md and its plots
# make bench-quick  a part of it on smaller arrays, under a minute once set up: prints its tables, writes nothing
# make lint      formats, types and clang-tidy, changing nothing
# make format    formats the sources
# make clean     removes build/ (not .venv, .venv-bench and .venv-beam)

PYTHON ?= python3
CLANGXX ?= clang++-14
CLANG_FORMAT ?= clang-format-14
RUN_CLANG_TIDY ?= run-clang-tidy-14
JOBS ?= $(shell nproc)

APT_PACKAGES := build-essential cmake ninja-build libhwy-dev libtbb-dev nlohmann-json3-dev libxxhash-dev \
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev \
  python3-venv python3-dev chromium openjdk-17-jre-headless

VENV := .venv/bin
VENV_BENCH := .venv-bench/bin
VENV_BEAM := .venv-beam/bin
CPP_FILES = $(shell find include src python/src tests bench fuzz examples -name '*.[ch]pp')
PYTHON_DIRS = $(wildcard python tests reference vectors bench examples)
PACKAGE_FILES = CMakeLists.txt pyproject.toml \
  $(shell find cmake include src python -type f ! -name '*.pyc' ! -name _core.pyi)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DELETE_ON_ERROR:
.NOTPARALLEL:

.PHONY: setup demo test test-all bench bench-quick lint format clean
.PHONY: system bench-programs check-formats check-types clang-tidy test-install test-python test-scale test-beam exhaustive fuzz
CPP_TESTS := test-release test-clang test-asan
.PHONY: $(CPP_TESTS)

test: setup check-formats $(CPP_TESTS) test-install check-types demo test-python

test-all: clang-tidy exhaustive fuzz test-beam test-scale test

lint: check-formats check-types clang-tidy

setup: system .venv/complete

# Asks only dpkg when nothing is missing: a machine once set up works offline.
system:
	@if ! command -v dpkg-query > /dev/null; then \
	  echo "No dpkg here, so not checked: this needs $(APT_PACKAGES), or what your system calls them."; \
	  exit 0; \
	fi; \
	missing=$$(for package in $(APT_PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$package 2> /dev/null | grep -q 'ok installed' || echo $$package; done); \
	if [ -z "$$missing" ]; then \
	  exit 0; \
	elif [ "$$(id -u)" = 0 ]; then \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq; \
	  apt-get install -y -qq --no-install-recommends $$missing; \
	else \
	  echo "Missing packages. As root: apt-get install" $$missing; \
	  exit 1; \
	fi

.venv/complete: requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version \
	  + ": say make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(VENV)/pip install --quiet --disable-pip-version-check -r requirements/constraints.txt
	touch $@

# The stub goes beside the sources for mypy and editors.
build/python/installed: $(PACKAGE_FILES) .venv/complete
	$(VENV)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall .
	cp build/python/_core.pyi python/exactnorm/_core.pyi
	touch $@

demo: setup build/python/installed
	cmake --preset release
	cmake --build --preset release --target examples
	$(VENV)/python examples/flights_demo.py

check-formats: setup
	$(CLANG_FORMAT) --dry-run -Werror $(CPP_FILES)
	$(VENV)/ruff check --quiet $(PYTHON_DIRS)
	$(VENV)/ruff format --quiet --diff $(PYTHON_DIRS)

check-types: build/python/installed
	$(VENV)/mypy

format: setup
	$(CLANG_FORMAT) -i $(CPP_FILES)
	$(VENV)/ruff check --quiet --fix $(PYTHON_DIRS)
	$(VENV)/ruff format --quiet $(PYTHON_DIRS)

test-clang test-asan: CONFIGURE_WITH = -DCMAKE_CXX_COMPILER=$(CLANGXX)
$(CPP_TESTS): test-%: system
	cmake --preset $* $(CONFIGURE_WITH)
	cmake --build --preset $*
	ctest --preset $* -j $(JOBS)

test-install: test-release
	cmake --install build/release --prefix build/prefix --component cpp > /dev/null
	cmake -S tests/install -B build/install -G Ninja -DCMAKE_PREFIX_PATH=$(CURDIR)/build/prefix
	cmake --build build/install
	ctest --test-dir build/install --output-on-failure --no-tests=error

test-python: build/python/installed
	$(VENV)/python -m pytest

clang-tidy: setup
	cmake --preset clang -DCMAKE_CXX_COMPILER=$(CLANGXX)
	$(RUN_CLANG_TIDY) -quiet -j $(JOBS) -p build/clang '$(CURDIR)/src/'

exhaustive: system
	cmake --preset release
	cmake --build --preset release --target exhaustive
	ctest --test-dir build/release -L exhaustive --output-on-failure --no-tests=error

fuzz: system
	cmake --preset asan -DCMAKE_CXX_COMPILER=$(CLANGXX)
	cmake --build --preset asan --target load_document
	mkdir -p build/fuzz
	build/asan/fuzz/load_document -max_total_time=300 -max_len=65536 build/fuzz fuzz/corpus

# A tool that has no wheel here must not keep the others away: then each is installed by itself.
.venv-bench/complete: requirements/bench.txt
	$(PYTHON) -m venv .venv-bench
	$(VENV_BENCH)/pip install --quiet --disable-pip-version-check -r requirements/bench.txt \
	  || grep -v '^#' requirements/bench.txt | xargs -n 1 $(VENV_BENCH)/pip install --quiet --disable-pip-version-check \
	  || true
	touch $@

.venv-beam/complete: requirements/beam.txt
	$(PYTHON) -m venv .venv-beam
	$(VENV_BEAM)/pip install --quiet --disable-pip-version-check -r requirements/beam.txt
	touch $@

# A wheel, so that the build of .venv's module is used again.
build/wheel/built: $(PACKAGE_FILES) .venv/complete
	rm -rf build/wheel
	$(VENV)/pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps -w build/wheel .
	touch $@

build/wheel/in-bench: build/wheel/built .venv-bench/complete
	$(VENV_BENCH)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheel/*.whl
	touch $@

build/wheel/in-beam: build/wheel/built .venv-beam/complete
	$(VENV_BEAM)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheel/*.whl
	touch $@

test-scale: build/python/installed
	$(VENV)/python -m pytest tests/scale

test-beam: setup build/wheel/in-beam
	$(VENV_BEAM)/python -m pytest tests/beam

bench-programs: setup build/wheel/in-bench
	cmake --preset release -B build/bench -DEXACTNORM_BUILD_BENCH=ON -DEXACTNORM_BUILD_TESTS=OFF -DEXACTNORM_BUILD_EXAMPLES=OFF
	cmake --build build/bench --target pairs micro

# The steps stand alone: any of them may be repeated by hand before the last.
bench: bench-programs
	mkdir -p build/bench/full
	build/bench/bench/pairs > build/bench/full/pairs.json
	build/bench/bench/micro --benchmark_min_time=0.1 --benchmark_repetitions=9 \
	  --benchmark_enable_random_interleaving=true --benchmark_out=build/bench/full/micro.json > /dev/null
	$(VENV_BENCH)/python bench/compare.py build/bench/full/peers.json
	$(VENV_BENCH)/python bench/files.py > build/bench/full/files.md
	$(VENV_BENCH)/python bench/report.py build/bench/full

bench-quick: bench-programs
	mkdir -p build/bench/quick
	build/bench/bench/pairs --mebibytes=64 --pairs=5 > build/bench/quick/pairs.json
	build/bench/bench/micro --benchmark_min_time=0.02 --benchmark_repetitions=3 \
	  --benchmark_enable_random_interleaving=true --benchmark_out=build/bench/quick/micro.json > /dev/null
	$(VENV_BENCH)/python bench/compare.py --quick build/bench/quick/peers.json
	$(VENV_BENCH)/python bench/report.py --print build/bench/quick

clean:
	rm -rf build
