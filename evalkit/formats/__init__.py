"""Documents to plans and back, in any of FORMATS, with diagnostics (CODES) of what was repaired or lost."""

from evalkit.formats.diagnostics import CODES
from evalkit.formats.registry import FORMATS, Format, parse_document, recognise, write_plans

__all__ = ["CODES", "FORMATS", "Format", "parse_document", "recognise", "write_plans"]
