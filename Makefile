VENV ?= .venv
BIN := $(VENV)/bin
SMOKE := results/smoke

.PHONY: check lint type test smoke setup clean
check: lint type test

setup: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable '.[synthetic]'
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
	$(BIN)/asrbench prep synthetic --hours 0.2 --out data/smoke
	$(BIN)/asrbench train experiments/smoke.yaml
	$(BIN)/asrbench eval $(SMOKE)
	$(BIN)/asrbench compare $(SMOKE)

clean:
	rm -rf $(VENV) data/smoke $(SMOKE)
