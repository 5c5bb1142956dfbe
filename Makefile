# Everything a fresh machine needs is done by `make run` and `make test` themselves.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

SWIFT ?= swift
BUILD := .build/release
PROGRAM := $(BUILD)/alchemist-sim
export ALCHEMIST_COMMIT := $(shell git describe --always --dirty=-modified --abbrev=12 2>/dev/null || echo unknown)

.PHONY: all setup build install uninstall test-install run test sanitize check format bench peers effect plan validate burst million headline
.PHONY: predicted-speedup prefix-cache shared-prompt precision base staleness headline-cpu sample-traces plots figures figures-full reproduce
.PHONY: reproduce-full test-report test-page test-figures test-plots tokenizer clean

all: build

## Installs the libraries that are missing (Debian and Ubuntu; through sudo when not root).
setup:
	@./.ci/setup

build: setup
	$(SWIFT) build -c release --product alchemist-sim

## Puts the program, its manual and completions for bash, zsh and fish below PREFIX; DESTDIR, if set, goes before it.
PREFIX ?= /usr/local
SHARE = $(DESTDIR)$(PREFIX)/share
install: build
	$(SWIFT) package generate-manual --configuration release > /dev/null
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/alchemist-sim
	install -D -m 644 .build/plugins/GenerateManual/outputs/alchemist-sim/alchemist-sim.1 $(SHARE)/man/man1/alchemist-sim.1
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	$(PROGRAM) --generate-completion-script bash > $(SHARE)/bash-completion/completions/alchemist-sim
	$(PROGRAM) --generate-completion-script zsh > $(SHARE)/zsh/site-functions/_alchemist-sim
	$(PROGRAM) --generate-completion-script fish > $(SHARE)/fish/vendor_completions.d/alchemist-sim.fish

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/alchemist-sim $(SHARE)/man/man1/alchemist-sim.1
	rm -f $(SHARE)/bash-completion/completions/alchemist-sim $(SHARE)/zsh/site-functions/_alchemist-sim
	rm -f $(SHARE)/fish/vendor_completions.d/alchemist-sim.fish

## What `make install` leaves, in a folder that is removed again: a program that runs, a manual, completions.
test-install: PREFIX := $(abspath results/prefix)
test-install:
	rm -rf $(PREFIX)
	$(MAKE) install PREFIX=$(PREFIX)
	cd / && $(PREFIX)/bin/alchemist-sim --version && $(PREFIX)/bin/alchemist-sim models > /dev/null
	grep -q '^\.Sh NAME' $(PREFIX)/share/man/man1/alchemist-sim.1
	bash -n $(PREFIX)/share/bash-completion/completions/alchemist-sim
	$(MAKE) uninstall PREFIX=$(PREFIX)
	[ -z "$$(find $(PREFIX) -type f)" ] && rm -rf $(PREFIX)

## Runs the three arms on the sample trace and prints one table.
run: build
	$(PROGRAM) run traces/sample.jsonl --scenario experiments/sample.yaml -o results/sample.h5

## Builds and runs all tests, in release: numerics are tested as they are used.
test: setup
	$(SWIFT) build -c release --build-tests
	$(SWIFT) build -c release --product alchemist-sim
	$(SWIFT) test -c release --skip-build

.PHONY: test-sweeps test-slurm test-kills sweep-speed many-points test-faults test-long test-fuzz test-run-kills soak
.PHONY: test-readme test-extending coverage
SWEEPS := ALCHEMIST_SIM=$(abspath $(PROGRAM)) PYTHONDONTWRITEBYTECODE=1

## Sweeps beyond one process and one machine: the same grid by every way, Slurm among them, then a few kills, the faults
## of disks, and the merged file in xarray. Starts a Slurm of its own in a temporary folder, for which it must be root.
test-sweeps: build plots test-slurm
	$(SWEEPS) timeout 600 python3 Tests/Sweeps/faults.py
	$(SWEEPS) timeout 300 .venv-plots/bin/python Tests/Sweeps/opens_in_xarray.py

test-slurm: build
	$(SWEEPS) timeout --kill-after=30 900 .ci/slurm bash -c \
	  'python3 Tests/Sweeps/same_everywhere.py && python3 Tests/Sweeps/kills.py --kills 3 --seed 5'

## Fifty kills at random moments on this machine, then fifty beside Slurm, slurmd among what is killed: half an hour.
test-kills: build
	$(SWEEPS) python3 Tests/Sweeps/kills.py --kills 50
	$(SWEEPS) .ci/slurm python3 Tests/Sweeps/kills.py --kills 50

## What a second job brings, on an otherwise idle machine: a minute.
sweep-speed: build
	$(SWEEPS) python3 Tests/Sweeps/speed.py

## Ten thousand points, and their merge: some minutes.
many-points: build
	$(SWEEPS) python3 Tests/Sweeps/many.py

## The engine's tests under the address sanitizer, which looks for leaks too, then under the thread sanitizer: some
## minutes. Any report fails. OpenBLAS is not instrumented: what it reads and writes is checked by neither, but for the
## guards around the operands in the tests, so a race between two products would go unseen. Synchronization.Mutex locks
## inside the Swift runtime, where the thread sanitizer does not see it either; the engine has atomics and pthread only.
sanitize: export ALCHEMIST_ENGINE_ONLY := 1
sanitize: export ASAN_OPTIONS := detect_leaks=1:detect_stack_use_after_return=1
sanitize: export TSAN_OPTIONS := halt_on_error=1
sanitize: setup
	for pair in address:.build-asan thread:.build-tsan; do \
	    flags="-c release --sanitize=$${pair%%:*} --scratch-path $${pair##*:}"; \
	    $(SWIFT) build $$flags --build-tests; \
	    $(SWIFT) test $$flags --skip-build --disable-xctest --filter EngineTests; \
	done

## Some fifty hand-made faults, all in one build of a copy of the sources; each must be caught by the tests that are named
## for it: a quarter of an hour.
test-faults: setup
	PYTHONDONTWRITEBYTECODE=1 timeout 7200 python3 Tests/Faults/run.py

## What takes long: FUZZ_CASES cases for every reader, 200 kills of runs, memory over a long run, every command of the README,
## the sanitizers, the hand-made faults. Cases that a reader does not take well stay in results/fuzzing.
FUZZ_CASES ?= 100000
FUZZ_TESTS := TraceMutationTests|TraceFuzzTests|YAMLFuzzTests|CheckpointMutationTests|ResultsFuzzTests
test-long: test-fuzz test-run-kills soak test-readme test-extending sanitize test-faults
test-fuzz: setup
	$(SWIFT) build -c release --build-tests
	mkdir -p results/fuzzing
	ALCHEMIST_FUZZ_CASES=$(FUZZ_CASES) ALCHEMIST_FUZZ_CORPUS=$(abspath results/fuzzing) \
	  $(SWIFT) test -c release --skip-build --disable-xctest --filter '$(FUZZ_TESTS)'

test-run-kills: build
	$(SWEEPS) python3 Tests/Runs/kills.py --kills 200

soak: build
	$(SWEEPS) python3 Tests/Runs/soak.py

## Every command of README.md, some ten minutes; `make bench` among them.
test-readme: build
	$(SWEEPS) python3 Tests/Runs/readme.py

## The change of docs/extending.md, applied to a copy of the sources and built there: some minutes.
test-extending: setup
	PYTHONDONTWRITEBYTECODE=1 python3 Tests/Runs/extending.py

## The lines of Sources that the tests run, the built program's among them: at least 85 %. In a build folder of its own.
coverage: setup
	PYTHONDONTWRITEBYTECODE=1 python3 Tests/Runs/coverage.py --least 85

## Format, and the direction of references between the folders of the simulator.
check:
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests Package.swift
	python3 .ci/check_layers.py

format:
	$(SWIFT) format --in-place --recursive --parallel Sources Tests Package.swift

## What reuse brings and costs, five interleaved rounds: some minutes on an otherwise idle machine.
effect: build
	$(PROGRAM) trace generate --requests 80 --target-p 0.9 --rate 2 --feedback-rate 1 --seed 7 -o results/effect.jsonl
	$(PROGRAM) run results/effect.jsonl --scenario experiments/effect.yaml -o results/effect.h5

## The machine against its model, at four loads, five times each: half an hour on an otherwise idle machine.
validate: build
	$(PROGRAM) trace generate --requests 120 --turns 1 --scale 0.3 --target-p 0.8 --rate 2 --feedback-rate 0.7 --seed 41 \
	  -o results/validate.jsonl
	$(PROGRAM) validate experiments/validate.yaml results/validate.jsonl --repeats 5 --again

## The speed-up that a calibration predicts, over p and ways of tuning: half an hour on an otherwise idle machine.
predicted-speedup: build
	python3 experiments/predicted-speedup.py $(PROGRAM)

## What each policy for records does to serving and training under bursts on a tight device: minutes, priced by formulas.
burst: build
	python3 experiments/burst.py

## What a prefix cache leaves to reuse, sharing records or prefilling again: a minute, priced by formulas.
prefix-cache: build
	python3 experiments/prefix_cache.py

## Who saves what where answers share a prompt, for pairs and for groups of four: some minutes on an otherwise idle machine.
shared-prompt: build
	$(PROGRAM) trace generate --requests 12 --turns 1 --scale 0.25 --target-p 0.8 --rate 1 --feedback-rate 1 \
	  --feedback-kind dpo --max-context 700 --seed 21 -o results/pairs.jsonl
	$(PROGRAM) trace generate --requests 12 --turns 1 --scale 0.25 --target-p 0.8 --rate 1 --feedback-rate 1 \
	  --feedback-kind group --group-size 4 --max-context 700 --seed 21 -o results/groups.jsonl
	$(PROGRAM) run results/pairs.jsonl --scenario experiments/shared-prompt.yaml -o results/pairs.h5
	$(PROGRAM) run results/groups.jsonl --scenario experiments/shared-prompt.yaml -o results/groups.h5

## What fewer bits for records save, and what they do to gradients, on real work: two minutes.
precision: build
	python3 experiments/precision.py $(PROGRAM) | tee results/precision.md

## A small model that knows the synthetic language; kept, and made once.
base: build
	$(PROGRAM) pretrain experiments/staleness-model.yaml --steps 800 -o results/pretrained/base

## Gradients and learning on stale records, over tuning modes, learning rates and seeds: a quarter of an hour.
staleness: base plots
	.venv-plots/bin/python experiments/staleness.py $(PROGRAM) results/pretrained/base -o results/staleness.md

## The paper's headline figures from measured work: some minutes on an otherwise idle machine.
headline-cpu: build
	python3 experiments/headline.py $(PROGRAM) -o results/headline.md

## A million requests of ShareGPT's lengths, 3 a second, on a modelled A100: serving alone, then with reuse training beside.
## Each run tells its time and memory; minutes.
million: MILLION := --set backend=a100-80g --set model=llama-3-8b --set serving.max_batch=128 --set serving.token_budget=512
million: build
	$(PROGRAM) trace generate --requests 5000 --lengths sharegpt-first --content counts --turns 1 --rate 6 --seed 1 \
	  -o results/five-thousand.jsonl
	$(PROGRAM) trace generate --requests 1000000 --lengths sharegpt-first --content counts --turns 1 --rate 3 --seed 1 \
	  -o results/million.jsonl
	$(PROGRAM) run results/five-thousand.jsonl --arms serve-only $(MILLION) -o results/five-thousand.h5
	$(PROGRAM) run results/million.jsonl --arms serve-only $(MILLION) -o results/million.h5
	$(PROGRAM) run results/million.jsonl --arms reuse $(MILLION) --set training.sharing=slo --set serving.tbt_objective=50ms \
	  --set recording.host_eviction=oldest -o results/million-reuse.h5

## The headline figures on a modelled A100 with Llama-3.1-8B and LoRA, as tables in Markdown: minutes, no clock in them.
headline: build
	python3 experiments/headline-a100.py $(PROGRAM) | tee results/headline-a100.md

## The planner's save plan beside the fixed ones, on real work over links of several speeds: some minutes on an idle machine.
plan: build
	$(PROGRAM) calibrate --scenario experiments/plan.yaml -o results/plan.yaml
	for link in 200MB/s 400MB/s 800MB/s 25GB/s; do \
	    $(PROGRAM) run traces/sample.jsonl --scenario experiments/plan.yaml --profile results/plan.yaml \
	      --set device.link_bandwidth=$$link \
	      -o results/plan-$${link%/s}.h5 || exit 1; \
	done

## Speed of the kernels as tokens per second and as a fraction of the limit measured in the same run.
bench: setup
	$(SWIFT) build -c release --product alchemist-bench
	$(BUILD)/alchemist-bench --json results/bench.json

## The same work in PyTorch and in the engine, in turn; PyTorch comes from PyPI, on demand only.
peers: setup
	$(SWIFT) build -c release --product alchemist-bench
	./.ci/setup python3-venv
	[ -x .venv-peers/bin/python ] || python3 -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check -r experiments/peers/requirements.txt
	.venv-peers/bin/python experiments/peers/compare.py --json results/peers.json

## Makes the committed traces again, byte for byte; a test holds them to these lines.
sample-traces: build
	$(PROGRAM) trace generate --requests 60 --target-p 0.88 --rate 3 --scale 0.16 --seed 1 -o traces/sample.jsonl
	$(PROGRAM) trace generate --requests 300 --lengths azure-conversation --content counts --arrivals gamma --cv 1.094 --rate 5.53 --seed 2 -o traces/azure-conversation.jsonl
	$(PROGRAM) trace generate --requests 300 --lengths sharegpt-multi --content counts --prefix-tokens 512 --prefix-groups 4 --max-context 8192 --rate 2 --seed 3 -o traces/assistants.jsonl
	$(PROGRAM) trace generate --requests 40 --feedback-kind dpo --shift 0.5 --scale 0.1 --max-context 512 --seed 4 -o traces/preferences.jsonl

## The libraries that pictures need, in a virtual environment of their own.
plots: .venv-plots/made
.venv-plots/made: plots/requirements.txt
	./.ci/setup python3-venv
	python3 -m venv .venv-plots
	.venv-plots/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

## Every figure from one command, into results/figures, as PDF and PNG: minutes on two cores. Only what depends on a change
## is made again. The full form runs five seeds of each experiment and shows intervals.
figures: build plots
	$(MAKE) -f experiments/figures/figures.mk SEEDS=1
## One of them: `make figure NAME=02_throughput`.
NAME ?= 02_throughput
.PHONY: figure
figure: build plots
	$(MAKE) -f experiments/figures/figures.mk SEEDS=1 results/figures/$(NAME).png
figures-full: build plots
	$(MAKE) -f experiments/figures/figures.mk SEEDS=5

## The paper's claims beside what is measured here and modelled: a table with intervals and verdicts, on the terminal and in
## results/reproduction.md. The full form runs five seeds, some minutes on an otherwise idle machine, and writes
## docs/reproduction.md.
reproduce: build plots
	$(MAKE) -f experiments/figures/figures.mk SEEDS=2 REPRODUCTION=results/reproduction.md \
	  REPRODUCED_BY='make reproduce' reproduce
reproduce-full: build plots
	$(MAKE) -f experiments/figures/figures.mk SEEDS=5 REPRODUCTION=docs/reproduction.md \
	  REPRODUCED_BY='make reproduce-full' reproduce

## The examples for Python users, run as they stand in the documentation, on the results of a small run.
test-plots: build plots
	$(PROGRAM) run traces/sample.jsonl --scenario experiments/sample.yaml --quiet \
	  --set backend=experiments/profiles/epyc-2-cores.yaml -o results/examples/results/sample.h5 > /dev/null
	cd results/examples && ../../.venv-plots/bin/python ../../plots/run_examples.py ../../docs/python.md ../../docs/results.md

## Every script of a figure on files that the program writes, of experiments made tiny: a minute.
test-figures: build plots
	PYTHONDONTWRITEBYTECODE=1 .venv-plots/bin/python Tests/Figures/check_figures.py $(PROGRAM) -o results/figures-tiny

## The report's page of two of these, one of many arms and one with losses, in a real browser, headless.
test-page: test-figures
	@command -v chromium >/dev/null || ./.ci/setup chromium
	for name in 06_ablations 08_staleness; do \
	    $(PROGRAM) report "$$(ls results/figures-tiny/$$name/points/*.h5 | head -n 1)" -o results/figures-tiny/$$name.html; \
	done
	python3 Tests/Browser/check_report.py results/figures-tiny/06_ablations.html results/figures-tiny/08_staleness.html

## The report's page in a real browser, headless: of a run of all arms, and of one of 100,000 requests, which takes some
## minutes. Screenshots go to results/report.
test-report: build
	@command -v chromium >/dev/null || ./.ci/setup chromium
	$(PROGRAM) trace generate --requests 100000 --lengths azure-conversation --content counts --max-context 4096 --rate 4 \
	  --feedback-rate 0.1 --seed 3 -o results/report/long.jsonl > /dev/null
	$(PROGRAM) run results/report/long.jsonl --set backend=a100-80g --set model=llama-3-8b --set serving.token_budget=512 \
	  --quiet -o results/report/long.h5 > /dev/null
	$(PROGRAM) run traces/sample.jsonl --scenario experiments/sample.yaml --repeats 2 --quiet \
	  --arms serve-only,recompute,reuse,separate -o results/report/sample.h5 > /dev/null
	for name in long sample; do $(PROGRAM) report results/report/$$name.h5 -o results/report/$$name.html; done
	python3 Tests/Browser/check_report.py results/report/sample.html results/report/long.html --screenshots results/report

## The library that makes tokens of texts, for `trace import --tokenizer`.
tokenizer: .venv-tokenize/made
.venv-tokenize/made: traces/tokenize/requirements.txt
	./.ci/setup python3-venv
	python3 -m venv .venv-tokenize
	.venv-tokenize/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

clean:
	rm -rf .build .build-asan .build-tsan .build-coverage results
