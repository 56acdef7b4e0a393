VENV ?= .venv
BIN := $(VENV)/bin
SMOKE := results/smoke

BENCH := build/bench
# KOSPEECH=PATH, a checkout of KoSpeech, has its training step measured too.
KOSPEECH ?=
# KSPON=TREE, a download of KsponSpeech, has its preparation measured.
KSPON ?=
CORPUS ?= $(wildcard data/an4)
PAIRS ?= 3
# Of `make attack`: SEED has other attempts made, SCALE a share of them or more.
SEED ?= 13
SCALE ?= 1

.PHONY: check lint type test smoke docs attack bench setup clean
check: lint type test

setup: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable '.[synthetic,export]'
	touch $@

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: setup
	$(BIN)/mypy

test: setup
	$(BIN)/python -m pytest -q

smoke: setup
	rm -rf data/smoke $(SMOKE)
	$(BIN)/asrbench prep synthetic --hours 0.2 --voices 20 --split 0.6/0.15/0.25 --out data/smoke
	$(BIN)/asrbench train experiments/smoke.yaml
	$(BIN)/asrbench eval $(SMOKE)
	$(BIN)/asrbench compare $(SMOKE)

# The pages of docs/, and the reference that is made of the code, as a site in build/site. With
# --quiet, mkdocs would count no warnings.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

attack: setup
	PYTHONPATH=tests $(BIN)/python -m attack --seed $(SEED) --scale $(SCALE) \
		--out docs/reliability.md

bench: setup
	mkdir -p $(BENCH)
	$(BIN)/python benchmarks/train_step.py --json --pairs $(PAIRS) \
		$(if $(KOSPEECH),--kospeech $(KOSPEECH)) > $(BENCH)/train_step.json
	$(BIN)/python benchmarks/attention.py --json --pairs $(PAIRS) > $(BENCH)/attention.json
	$(BIN)/python benchmarks/feeding.py --json --rounds $(PAIRS) $(CORPUS) > $(BENCH)/feeding.json
	$(if $(KSPON),$(BIN)/python benchmarks/prep.py --json --rounds $(PAIRS) \
		$(if $(KOSPEECH),--kospeech $(KOSPEECH)) $(KSPON) > $(BENCH)/prep.new)
	$(if $(KSPON),mv $(BENCH)/prep.new $(BENCH)/prep.json)
	$(BIN)/python benchmarks/comparing.py --json --rounds $(PAIRS) > $(BENCH)/comparing.json
	$(BIN)/python benchmarks/report.py $(BENCH) --out docs/performance.md

clean:
	rm -rf $(VENV) data/smoke $(SMOKE)
