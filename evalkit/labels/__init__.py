"""Labelled pairs: takes LabelledPlans, gives a Calibration fitted to them, or how well one agrees with them."""

from evalkit.labels.calibrate import adapt_on, agree_with, calibrate_on
from evalkit.labels.evaluate import agreement
from evalkit.labels.fitting import calibrate

__all__ = ["adapt_on", "agree_with", "agreement", "calibrate", "calibrate_on"]
