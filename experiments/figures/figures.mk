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
all: $(foreach form,png pdf,$(NAMES:%=$(OUT)/%.$(form)) $(OUT)/11_validation.$(form))

# Changes only when the number of seeds does.
$(OUT)/seeds: FORCE
	@mkdir -p $(OUT)
	@[ "$$(cat $@ 2>/dev/null)" = "$(SEEDS)" ] || echo "$(SEEDS)" > $@
.PHONY: FORCE

define run
	@mkdir -p $(@D)
	@sed -E 's/^  seeds: .1, 2, 3, 4, 5.$$/  seeds: $(SEEDS)/' $< > $(@D)/experiment.yaml
	$(PROGRAM) sweep $(@D)/experiment.yaml -o $(@D) --quiet
	@touch $@
endef

$(OUT)/%/merged.h5: experiments/figures/%.yaml $(PROGRAM) $(OUT)/seeds
	$(run)

# Figure 8 starts from a small model that knows the synthetic language. The same one is not taught again.
$(OUT)/08_staleness/merged.h5: $(OUT)/base.made
$(OUT)/base.made: experiments/staleness-model.yaml $(PROGRAM)
	$(PROGRAM) pretrain $< --steps 300 --quiet -o $(OUT)/base
	@touch $@

$(OUT)/%.png $(OUT)/%.pdf: plots/figure_%.py $(OUT)/%/merged.h5 plots/style.py plots/grid.py
	$(PYTHON) $< $(OUT)/$*/merged.h5 -o $(OUT)/$*

# The machine against its model: its profile is made here, then held against it.
$(OUT)/11_validation/report.md: experiments/figures/validation.yaml $(PROGRAM)
	@rm -rf $(OUT)/11_validation && mkdir -p $(OUT)/11_validation
	$(PROGRAM) trace generate --requests 50 --turns 1 --scale 0.3 --target-p 0.8 --rate 2 --feedback-rate 0.7 --seed 11 \
	  -o $(OUT)/11_validation/trace.jsonl > $(OUT)/11_validation/trace.txt
	$(PROGRAM) validate $< $(OUT)/11_validation/trace.jsonl --loads 0.5,0.9 --quiet -o $(OUT)/11_validation \
	  > $(OUT)/11_validation/report.md

$(OUT)/11_validation.png $(OUT)/11_validation.pdf &: plots/figure_11_validation.py $(OUT)/11_validation/report.md plots/style.py
	$(PYTHON) $< $(OUT)/11_validation -o $(OUT)/11_validation

# A folder for each number of seeds, so that the quick form leaves the full one alone, and figures either.
REPRODUCE := results/reproduce/$(SEEDS)-seeds
CLAIMS := $(patsubst experiments/reproduce/%.yaml,$(REPRODUCE)/%/merged.h5,$(wildcard experiments/reproduce/*.yaml))

.PHONY: reproduce
reproduce: $(CLAIMS)
	$(PYTHON) plots/reproduce.py $(REPRODUCE) -o $(REPRODUCTION) --command "$(REPRODUCED_BY)"

$(REPRODUCE)/%/merged.h5: experiments/reproduce/%.yaml $(PROGRAM)
	$(run)
