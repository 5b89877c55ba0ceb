"""A page on this machine where a person labels pairs or confirms drafts of gold; every answer is kept at once."""

from evalkit.labels.page.session import LabelSession, open_session
from evalkit.labels.page.tasks import LabelTask, nearest, sampled, tasks_of_labels, tasks_of_run, threshold_of

__all__ = [
    "LabelSession",
    "LabelTask",
    "nearest",
    "open_session",
    "sampled",
    "tasks_of_labels",
    "tasks_of_run",
    "threshold_of",
]
