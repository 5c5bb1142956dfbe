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
all: $(NAMES:%=$(OUT)/%.png) $(OUT)/11_validation.png

# Changes only when the number of seeds does.
$(OUT)/seeds: FORCE
	@mkdir -p $(OUT)
	@[ "$$(cat $@ 2>/dev/null)" = "$(SEEDS)" ] || echo "$(SEEDS)" > $@
.PHONY: FORCE

$(OUT)/%.h5: experiments/figures/%.yaml experiments/figures/run_points.py $(PROGRAM) $(OUT)/seeds
	$(PYTHON) experiments/figures/run_points.py $< -o $@ --seeds $(SEEDS)

$(OUT)/%.png: plots/figure_%.py $(OUT)/%.h5 plots/style.py plots/grid.py
	$(PYTHON) $< $(OUT)/$*.h5 -o $(OUT)/$*

# The machine against its model: its profile is made here, then held against it.
$(OUT)/11_validation.h5: experiments/figures/validation.yaml $(PROGRAM)
	@rm -rf $(OUT)/11_validation && mkdir -p $(OUT)/11_validation
	$(PROGRAM) trace generate --requests 50 --turns 1 --scale 0.3 --target-p 0.8 --rate 2 --feedback-rate 0.7 --seed 11 \
	  -o $(OUT)/11_validation/trace.jsonl > $(OUT)/11_validation/trace.txt
	$(PROGRAM) validate $< $(OUT)/11_validation/trace.jsonl --loads 0.5,0.9 --quiet -o $(OUT)/11_validation \
	  > $(OUT)/11_validation/report.md
	cp $(OUT)/11_validation/validate-0.90.h5 $@

CLAIMS := $(patsubst experiments/reproduce/%.yaml,results/reproduce/%.h5,$(wildcard experiments/reproduce/*.yaml))

.PHONY: reproduce
reproduce: $(CLAIMS)
	$(PYTHON) plots/reproduce.py results/reproduce -o $(REPRODUCTION)

results/reproduce/%.h5: experiments/reproduce/%.yaml experiments/figures/run_points.py $(PROGRAM) $(OUT)/seeds
	$(PYTHON) experiments/figures/run_points.py $< -o $@ --seeds $(SEEDS)
