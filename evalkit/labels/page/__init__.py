"""A page on this machine where a person labels pairs: takes a run or label files, gives labels, each kept at once.

Modules: `tasks` (what is asked, in which order), `journal` (answers on disk), `session` (the two together),
`confirming` (drafts of gold in place of pairs), `server` (the page on 127.0.0.1).
"""

from evalkit.labels.page.draft_session import DraftSession
from evalkit.labels.page.session import Session, open_session
from evalkit.labels.page.tasks import Task, nearest, sampled, tasks_of_labels, tasks_of_run, threshold_of

__all__ = [
    "DraftSession",
    "Session",
    "Task",
    "nearest",
    "open_session",
    "sampled",
    "tasks_of_labels",
    "tasks_of_run",
    "threshold_of",
]
