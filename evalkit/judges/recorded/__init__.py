"""Somebody else's alignment: takes what judges wrote, gives Alignments, their agreement, and AblationBench's counts."""

from evalkit.judges.recorded.judge_agreement import agreement
from evalkit.judges.recorded.judgements import Judgements
from evalkit.judges.recorded.sheet_files import read_judge
from evalkit.judges.recorded.sheets import Judge, Mark, Ref, Sheet

__all__ = ["Judge", "Judgements", "Mark", "Ref", "Sheet", "agreement", "read_judge"]
