# make demo    run boxes and read their verdicts      make test       every test this machine can run
# make check   the house rules, ruff, mypy            make test-unit  those that need no privilege
# make asan    box tests with a sanitized engine      make vm         box tests under pure cgroup v2
# make fuzz    what it reads, by libFuzzer and AFL++  make bench      boxes beside their peers
# make clean   remove all that was made              make vm-labs    each lab under cgroup v2
# make accuracy                                      figures beside known loads

# An unprivileged user can reach Debian's own Python, as the tests need; any other will do as well.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
    $$python -c '$(FIT)' 2>/dev/null && echo $$python && break; done)
FIT = import ensurepip, os, sys, sysconfig, venv; \
    include = sysconfig.get_path("include"); \
    sys.exit(sys.version_info < (3, 11) or not os.path.exists(include + "/Python.h"))
RUN := .venv/bin/python
REQUIRED = import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb")); \
    print(*eval(sys.argv[1]), sep="\n")
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet --requirement /dev/stdin
SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
# There memory is capped by RLIMIT_AS, which counts the sanitizers' terabytes of shadow as well.
NOT_SANITIZED := --deselect tests/box/test_caps.py::test_best_effort_says_what_is_not_in_force

.PHONY: venv demo test test-unit check asan fuzz accuracy vm vm-labs bench clean

demo: .venv/built
	@$(RUN) -m minibox.cli.demo

test: venv
	$(RUN) -m pytest

test-unit: venv
	$(RUN) -m pytest tests/unit

check: venv
	$(RUN) tests/house.py

asan: venv
	CFLAGS="$(SANITIZE)" MINIBOX_STATIC=0 $(RUN) -c \
	    'import setup; setup.build_engine("build/asan/minibox-engine"); \
	    setup.build_probe("build/asan/minibox-probe")'
	MINIBOX_ENGINE=$(CURDIR)/build/asan/minibox-engine \
	    MINIBOX_PROBE=$(CURDIR)/build/asan/minibox-probe ASAN_OPTIONS=detect_leaks=0 \
	    $(RUN) -m pytest tests/unit tests/box tests/fault $(NOT_SANITIZED)

# KEEP=--keep adds to the corpus what reaches something new.
SECONDS ?= 600
fuzz: venv
	$(RUN) tests/fuzz/fuzz.py --seconds $(SECONDS) $(KEEP)

accuracy: venv
	ACCURACY_RUNS=100 $(RUN) -m pytest -q tests/box/test_accuracy.py

vm: venv
	$(RUN) -m pytest tests/vm

VM_LABS := -- $(RUN) -m pytest -p no:cacheprovider tests/box/labs/test_labs.py \
    tests/box/labs/test_labs_on_v2.py
vm-labs: venv
	tests/vm/vm-run --timeout 7200 $(VM_LABS) -k "not [user"
	tests/vm/vm-run --timeout 7200 --user tester $(VM_LABS) -k "not [root"

bench: .venv/built
	$(RUN) benchmarks/run.py
	$(RUN) benchmarks/walls.py
	$(RUN) benchmarks/calls.py
	$(RUN) benchmarks/many.py

clean:
	rm -rf .venv build dist *.egg-info csrc/generated minibox/minibox-engine minibox/minibox-probe
	rm -rf minibox/*.so minibox/seccomp/prepared.py
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

venv: .venv/built .venv/test-requirements

# A path file makes this checkout importable without the import hooks of an editable install.
.venv/requirements: pyproject.toml
	@[ "$(PYTHON)" ] || { echo "minibox needs Python 3.11 or later, with venv and headers:" \
	    "apt-get install python3-venv python3-dev"; exit 1; } >&2
	@command -v $${CC:-cc} >/dev/null || { echo "minibox needs a C compiler:" \
	    "apt-get install gcc libc6-dev"; exit 1; } >&2
	@echo "making .venv with $(PYTHON), and what pyproject.toml asks for"
	@$(PYTHON) -m venv .venv
	@$(PYTHON) -c '$(REQUIRED)' \
	    'project["build-system"]["requires"] + project["project"]["dependencies"]' | $(PIP)
	@echo '$(CURDIR)' >$$(echo .venv/lib/python3*/site-packages)/minibox.pth
	@printf '#!%s\nimport sys\n\nfrom minibox.cli import main\n\nsys.exit(main())\n' \
	    '$(CURDIR)/$(RUN)' >.venv/bin/minibox
	@chmod 755 .venv/bin/minibox
	@touch $@

.venv/test-requirements: .venv/requirements
	@echo "adding what the tests need"
	@$(PYTHON) -c '$(REQUIRED)' 'project["project"]["optional-dependencies"]["test"]' | $(PIP)
	@touch $@

.venv/built: .venv/requirements setup.py $(wildcard csrc/*.[ch] csrc/probes/*.[ch] csrc/*.py) \
    minibox/steps.py minibox/plan.py minibox/record.py minibox/report.py \
    $(filter-out %/prepared.py, $(wildcard minibox/seccomp/*.py))
	@echo "building the engine, the probes and the extension"
	@$(RUN) setup.py --quiet build_ext --inplace
	@touch $@
