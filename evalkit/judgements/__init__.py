"""Somebody else's alignment: takes what judges wrote, gives Alignments, their agreement, and AblationBench's counts."""

from evalkit.judgements.comparing import agreement
from evalkit.judgements.deputy import Judgements
from evalkit.judgements.reading import read_judge
from evalkit.judgements.sheets import Judge, Mark, Ref, Sheet

__all__ = ["Judge", "Judgements", "Mark", "Ref", "Sheet", "agreement", "read_judge"]
