# How figures depend on experiments, programs and scripts: `make figures` calls this once the program is built. A figure is
# made of a grid of runs, and the grid of its experiment and the program; so whoever edits one experiment, or one script,
# makes one figure again.

PYTHON := .venv-plots/bin/python
PROGRAM := .build/release/alchemist-sim
OUT := results/figures
# Seeds of each experiment that are run; a figure of fewer seeds is made again when more are asked for.
SEEDS ?= 1

EXPERIMENTS := $(wildcard experiments/figures/[0-9]*.yaml)
NAMES := $(EXPERIMENTS:experiments/figures/%.yaml=%)

.PHONY: all
.DELETE_ON_ERROR:
.SECONDARY:
all: $(NAMES:%=$(OUT)/%.png)

# Changes only when the number of seeds does.
$(OUT)/seeds: FORCE
	@mkdir -p $(OUT)
	@[ "$$(cat $@ 2>/dev/null)" = "$(SEEDS)" ] || echo "$(SEEDS)" > $@
.PHONY: FORCE

$(OUT)/%.h5: experiments/figures/%.yaml experiments/figures/run_points.py $(PROGRAM) $(OUT)/seeds
	$(PYTHON) experiments/figures/run_points.py $< -o $@ --seeds $(SEEDS)

$(OUT)/%.png: plots/figure_%.py $(OUT)/%.h5 plots/style.py plots/grid.py
	$(PYTHON) $< $(OUT)/$*.h5 -o $(OUT)/$*

CLAIMS := $(patsubst experiments/reproduce/%.yaml,results/reproduce/%.h5,$(wildcard experiments/reproduce/*.yaml))

.PHONY: reproduce
reproduce: $(CLAIMS)
	$(PYTHON) plots/reproduce.py results/reproduce -o $(REPRODUCTION)

results/reproduce/%.h5: experiments/reproduce/%.yaml experiments/figures/run_points.py $(PROGRAM) $(OUT)/seeds
	$(PYTHON) experiments/figures/run_points.py $< -o $@ --seeds $(SEEDS)
