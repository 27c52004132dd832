"""The labels under which reports, recipes and gates know the models that a run compares.

A reference is a role: the *source* as it came, and the *baseline*, which is the source only exported, in ONNX Runtime
with all its graph optimizations. What a role is called is written here and nowhere else.
"""

from __future__ import annotations

SOURCE = "torch_eager"
"""A PyTorch source in its own framework; a source that came as ONNX is the baseline itself."""
COMPILED = "torch_compile"
"""A PyTorch source under ``torch.compile``, where the recipe asks for it; never what is shipped."""
BASELINE = "onnx_fp32"
CONTROL = f"{BASELINE} (again)"
"""The baseline's second copy, by which the noise of a run is known."""
FINAL = "final"
FASTEST = "fastest_source"
"""The source unchanged, in whatever runtime and precision was fastest of those that keep the quality gates: the speedup
against it is what the passes are worth, without the merit of the runtime."""
REFERENCES = (BASELINE, SOURCE, COMPILED, FASTEST)
"""What a gate may compare with."""
ON_REQUEST = (COMPILED,)
"""Those of them that are measured only if a recipe's ``references`` name them."""
