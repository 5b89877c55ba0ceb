"""Documents to plans and back: takes a Document in any of FORMATS, gives Plans; writes Plans as text."""

from evalkit.formats.codes import CODES
from evalkit.formats.registry import FORMATS, Format, parse_document, recognise, write_plans

__all__ = ["CODES", "FORMATS", "Format", "parse_document", "recognise", "write_plans"]
