"""Documents to plans and back: takes a Document in any of FORMATS, gives Plans; writes Plans as text."""

from evalkit.parsing.codes import CODES
from evalkit.parsing.formats import FORMATS, Format, parse_document, recognise, write_plans

__all__ = ["CODES", "FORMATS", "Format", "parse_document", "recognise", "write_plans"]
