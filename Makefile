# Two commands do everything: `make demo` and `make test`. The work is done in scripts/.
# PYTHON=python3.12 chooses the interpreter, VENV=folder the environment's place.

override export DOCS := $(value DOCS)
override export Q := $(value Q)
export PYTHON VENV
MODELS ?= smollm2-135m-instruct
BENCH ?= peers --json bench-results/peers.json

.DEFAULT_GOAL := help
.PHONY: help demo test check lint format docs bench bench-engine bench-server fuzz-api stack soak coverage clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: ## set up, ingest docs/, ask a question, show the answer; DOCS=folder Q="question" for your own
	@sh scripts/demo.sh

test: ## set up everything the tests need, and run all of them
	@sh scripts/test.sh

check: ## format, lint, types and the fast tests: before every commit, under a minute
	@sh scripts/check.sh

lint: ## format, lint and types, changing nothing
	@sh scripts/lint.sh

format: ## rewrite the code as ruff wants it
	@sh scripts/in_env.sh ruff format .
	@sh scripts/in_env.sh ruff check --fix .

docs: ## write the generated reference pages anew
	@sh scripts/in_env.sh python scripts/make_docs.py

bench: ## retrieval beside LangChain, LlamaIndex, Haystack and txtai: make bench BENCH="peers --quick"
	@sh scripts/in_env.sh ragstack eval $(BENCH)

bench-engine: ## measure the engine beside its peers: make bench-engine MODELS="NAME ..." ENGINE_BENCH=--quick
	@sh scripts/in_env.sh python -m ragstack_evals.bench_engine --model $(MODELS) $(ENGINE_BENCH)

bench-server: ## 50 streaming clients for five minutes: errors, waits, memory
	@sh scripts/in_env.sh ragstack eval bench-server --minutes 5

fuzz-api: ## schemathesis against the server's own description: no request may end in a 5xx
	@sh scripts/in_env.sh python scripts/fuzz_api.py

stack: ## the services of docker-compose.yml as processes, where Docker is not; RAGSTACK_API_KEY has to be set
	@sh scripts/in_env.sh python scripts/stack.py

soak: ## the long tests: hundreds of kills, minutes to hours
	@sh scripts/in_env.sh python -m pytest -m soak tests

coverage: ## all tests but the soak, with branch coverage of their subprocesses too: a quarter of an hour
	@sh scripts/in_env.sh python -m pytest -q -n auto --maxprocesses 4 --dist loadfile tests --cov

clean: ## remove what was made here; models and the engine's wheel stay in the user's cache
	rm -rf .venv .demo bench-results dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
