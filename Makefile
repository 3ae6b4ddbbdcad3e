# make demo   pictures in output/demo from six sentences          make test       the fast tests (below ten minutes on two cores)
# make bench  speed ratios, written to benchmarks/results.md      make test-slow  long proofs
# Every target makes the virtual environment it needs. TORCH chooses the build, for example a small CPU build:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
VENV   ?= .venv
TORCH  ?= torch==2.13.0
DATA   ?= ../shared/data/text_pose
OUT    ?= output/demo
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-slow soak fuzz compat bench lint format train-pose-prior train-pose-lifter train-text-to-pose train-personalization train-parts-to-whole train-previous-frame clean

$(VENV)/.demo-ready: requirements.txt pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -c "import torch" 2>/dev/null || $(PIP) $(TORCH)
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --editable .
	touch $@

# The reference engines go in without their dependencies: pyrender pins a PyOpenGL that breaks ComfyUI.
$(VENV)/.test-ready: $(VENV)/.demo-ready requirements-reference.txt
	$(PIP) --no-deps -r requirements-reference.txt
	$(PIP) --editable ".[test]"
	touch $@

demo: $(VENV)/.demo-ready
	$(PY) -m contrapposto demo --out $(OUT)

test: $(VENV)/.test-ready lint
	$(PY) -m pytest -m "not slow"

test-slow: $(VENV)/.test-ready
	$(PY) -m pytest -m slow

# Damaged inputs for every reader, on all processors; see docs/reliability.md. The findings lie in fuzz-findings/.
N ?= 1000000
fuzz: $(VENV)/.test-ready
	$(PY) -m contrapposto.tests.fuzz $(N)

# The oldest and the newest packages in environments of their own; run it with PYTHON=python3.10, 3.11 ... for other Pythons.
compat:
	$(PYTHON) tests/packaging/compat.py oldest numpy1 newest

# Hundreds of prompts through the first ComfyUI found, some stopped at random; about half an hour on two quiet cores.
PROMPTS    ?= 500
INTERRUPTS ?= 50
soak: $(VENV)/.test-ready
	$(PY) tests/soak/soak.py --prompts $(PROMPTS) --interrupts $(INTERRUPTS)

bench: $(VENV)/.test-ready
	$(PY) -m benchmarks

lint: $(VENV)/.test-ready
	$(VENV)/bin/ruff check .
	$(PY) scripts/check_imports.py

format: $(VENV)/.test-ready
	$(VENV)/bin/ruff check --fix .

train-pose-prior: $(VENV)/.demo-ready
	$(PY) -m contrapposto.models.training.train_pose_prior --data $(DATA)

train-pose-lifter: $(VENV)/.demo-ready
	$(PY) -m contrapposto.models.training.train_pose_lifter --data $(DATA)

train-text-to-pose: $(VENV)/.demo-ready
	$(PY) -m contrapposto.models.training.train_text_to_pose --data $(DATA)

# DATA holds images, masks, captions and gray bodies; BASE is Stable Diffusion 1.5 (inpainting) in diffusers' folder layout.
train-personalization: $(VENV)/.demo-ready
	$(PIP) --editable ".[train]"
	$(PY) scripts/train_personalization.py --data $(DATA) --base $(BASE)

# DATA holds train.jsonl and its pictures; BASE is Stable Diffusion 1.5 in diffusers' folder layout, with an image_encoder.
train-parts-to-whole: $(VENV)/.demo-ready
	$(PIP) --editable ".[train]"
	$(PY) scripts/train_parts_to_whole.py --data $(DATA) --base $(BASE)

# DATA holds clips (folders of frames) and captions.jsonl; BASE is Stable Diffusion 1.5 in diffusers' folder layout.
train-previous-frame: $(VENV)/.demo-ready
	$(PIP) --editable ".[train]"
	$(PY) scripts/train_previous_frame.py --data $(DATA) --base $(BASE)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
