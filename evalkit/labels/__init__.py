"""Labelled pairs: fit a calibration to them, adapt one, or say how well one agrees with them."""

from evalkit.labels.evaluate import agreement
from evalkit.labels.fitting import calibrate
from evalkit.labels.from_files import adapt_on, agree_with, agree_with_judge, calibrate_on
from evalkit.labels.measured_judge import measure_judge

__all__ = ["adapt_on", "agree_with", "agree_with_judge", "agreement", "calibrate", "calibrate_on", "measure_judge"]
