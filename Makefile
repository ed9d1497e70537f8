# make demo: the workflow on simulated micrographs.  make test: all tests.  make help: the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
RUNCRATE := $(VENV)/runcrate/.installed
DEMO := --configfile config/studies/demo.yaml --directory demo

.PHONY: help demo stack test bench lint format explain replan removed set-aside freeze-folds
.PHONY: verify reproduce clean

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

$(READY): envs/requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.lock
	@touch $@

# A folder of its own: it pins other versions of what we use.
$(RUNCRATE): envs/runcrate.lock $(READY)
	$(PYTHON) -m venv $(VENV)/runcrate
	$(VENV)/runcrate/bin/python -m pip install --quiet --requirement envs/runcrate.lock
	@touch $@

demo: $(READY) ## set up, simulate micrographs, run the workflow on them
	$(BIN)/snakemake --snakefile workflow/rules/simulate.smk $(DEMO) --cores all --quiet all
	$(BIN)/snakemake $(DEMO)
	@echo "The report is demo/results/report.html"

stack: $(READY) ## simulate the stack of 15 micrographs, demo/simulated/images.npy and labels.npy
	$(BIN)/snakemake --snakefile workflow/rules/simulate.smk $(DEMO) --cores all -- simulated/stack.tsv

test: $(READY) $(RUNCRATE) ## set up, run all tests
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 \
	    --dist loadfile --no-loadscope-reorder

bench: $(READY) ## measure against peers, minutes to hours (ONLY="training stitching memory leaks scale gigapixel", ARGS=--large)
	PYTHONPATH=tests:workflow/lib:workflow/scripts $(BIN)/python -m benchmarks.bench $(ONLY) $(ARGS)

lint: $(READY) ## what must be clean before a change goes in
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --snakefile workflow/rules/simulate.smk $(DEMO) --cores all --quiet all
	$(BIN)/snakemake $(DEMO) --lint

format: $(READY) ## put code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow/rules

explain: $(READY) ## why each job would run (STUDY="--configfile ... --directory ...")
	PYTHONPATH=workflow/lib $(BIN)/python workflow/scripts/explain.py $(STUDY)

replan: $(READY) ## plan a study anew; the plan before is kept (STUDY="--configfile ... --directory ...")
	$(BIN)/snakemake --cores all $(STUDY) replan

removed: $(READY) ## list products of rows that have left a study (STUDY=...)
	$(BIN)/snakemake --cores 1 $(STUDY) removed

set-aside: $(READY) ## move them to results/removed/ of that study (STUDY=...)
	$(BIN)/snakemake --cores 1 $(STUDY) set_aside

freeze-folds: $(READY) ## pin in a sheet every fold that results/folds.tsv has placed (SHEET=... DIRECTORY=...)
	PYTHONPATH=workflow/lib $(BIN)/python workflow/scripts/freeze_folds.py $(or $(SHEET),config/micrographs.tsv) $(DIRECTORY)

verify: $(READY) ## check a folder of results by itself (RESULTS=..., RAW=folder of the raw files)
	$(BIN)/python workflow/scripts/verify.py $(or $(RESULTS),results) $(if $(RAW),--raw $(RAW))

reproduce: $(READY) ## run a study again from its own record and compare (RESULTS=..., INTO=..., RAW=..., CORES=n)
	$(BIN)/python workflow/scripts/reproduce.py $(or $(RESULTS),results) $(if $(RAW),--raw $(RAW)) \
	    $(if $(INTO),--into $(INTO)) --cores $(or $(CORES),all)

clean: ## remove the demo and the environment, nothing of yours
	rm -rf demo $(VENV)
