"""How to mend what PyTorch says of a model that cannot run, or be exported, as it is: where that is always the same."""

from __future__ import annotations

GRADIENTS = "no exported model has gradients: write the derivative out in forward(), or leave it out of the model"
_FIXES = {
    "Expected more than 1 value per channel": (
        "this BatchNorm takes mean and variance from the batch, and one sample alone has none: build it with "
        "track_running_stats=True, or use GroupNorm or LayerNorm, which take them from each sample"
    ),
    "Expected more than 1 spatial element": (
        "InstanceNorm takes mean and variance from each channel of a sample, and one value alone has none: declare "
        "larger sizes in model.inputs, or use GroupNorm"
    ),
    "does not require grad and does not have a grad_fn": GRADIENTS,
    "nference tensor": GRADIENTS,  # at the beginning of a sentence, or not
    "requires grad as a constant": GRADIENTS,
    "functorch": GRADIENTS,
}


def known_fix(said: str) -> str | None:
    """Return how to mend an error with this message, if it is one of those."""
    return next((fix for part, fix in _FIXES.items() if part in said), None)
