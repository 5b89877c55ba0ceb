"""Recorded judgements: read what judges wrote, and decide pairs by their votes."""

from evalkit.judges.recorded.judge_report import agreement
from evalkit.judges.recorded.judgement_files import EntryRef, Judgement, MarkedPair, RecordedJudge, read_judge
from evalkit.judges.recorded.voting import Judgements

__all__ = ["EntryRef", "Judgement", "Judgements", "MarkedPair", "RecordedJudge", "agreement", "read_judge"]
