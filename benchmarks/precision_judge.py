"""A case with what its contenders are held against: the same samples, reference and bars for all, wherever they run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import precision_quality as judged
from precision_contenders import FP32, Contender, FailedError, in_onnxruntime
from precision_models import Case
from precision_running import Outputs, outputs, whole_samples

from mlopt.core.errors import MeasureError


@dataclass(frozen=True)
class Judge:
    """A case, the outputs of its FP32 model in ONNX Runtime, and how good another must be."""

    case: Case
    calibration: Path
    evaluation: Path
    """Both sets once more, for scripts: every array is [samples, *the input's whole shape]."""
    fp32: Contender
    reference: Outputs
    of_fp32: Mapping[str, float]
    bars: Mapping[str, float]

    @classmethod
    def of(cls, case: Case) -> Judge:
        """Run the FP32 model over the samples; raises ``FailedError``."""
        folder, fp32 = case.folder, in_onnxruntime(FP32, case.model)
        calibration = whole_samples(case.calibration, case.model, folder / "whole-calibration.npz")
        evaluation = whole_samples(case.evaluation, case.model, folder / "whole-evaluation.npz")
        reference = outputs(fp32, case.evaluation, evaluation, {})
        of_fp32 = judged.quality(case.scores, reference, case.evaluation.labels, reference)
        return cls(case, calibration, evaluation, fp32, reference, of_fp32, judged.bars(case.scores, of_fp32))

    def row(self, contender: Contender) -> dict[str, Any]:
        """Return how good a contender is in its own runtime; raises ``FailedError``."""
        found = outputs(contender, self.case.evaluation, self.evaluation, self.reference)
        try:
            quality = judged.quality(self.case.scores, found, self.case.evaluation.labels, self.reference)
        except MeasureError as error:
            raise FailedError(" ".join(str(error).split())[:300]) from error
        return {
            "quality": quality,
            "missed": judged.missed(quality, self.bars),
            "size_bytes": contender.size_bytes,
        }
