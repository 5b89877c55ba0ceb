"""Labelled pairs: takes LabelledPlans, gives a Calibration fitted to them, or how well one agrees with them."""

from evalkit.calibration.agreeing import agreement
from evalkit.calibration.fitting import calibrate
from evalkit.calibration.labelled import adapt_on, agree_with, calibrate_on

__all__ = ["adapt_on", "agree_with", "agreement", "calibrate", "calibrate_on"]
