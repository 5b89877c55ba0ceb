"""`evalkit label`: a page on this machine where a person decides pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evalkit.cli.options import PORT, Number, say
from evalkit.settings import LARGEST_NUMBER, MOST

if TYPE_CHECKING:
    from evalkit.labels.page import LabelTask


@click.command("label")
@click.argument("run", required=False)
@click.option("--labels", multiple=True, metavar="FILE", help="Label these files' lists (again), not a run's.")
@click.option("--out", default="labels.jsonl", metavar="FILE", help="Where labels go.  [default: labels.jsonl]")
@click.option("--annotator", default="", metavar="NAME", help="Your name; each annotator has a file of their own.")
@click.option("--sample-papers", type=Number(int, 1, MOST), metavar="N",
              help="Every pair of N random papers, spread over doubt; to correct by.")  # fmt: skip
@click.option("--seed", type=Number(int, 0, LARGEST_NUMBER), default=0, help="Seed of the sample.  [default: 0]")
@click.option("--port", type=PORT, default=0, help="Port of the page.  [default: any that is free]")
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
def command(
    run: str | None, labels: tuple[str, ...], out: str, annotator: str, sample_papers: int | None, seed: int, port: int,
    opened: bool,
) -> None:  # fmt: skip
    """Decide pairs of gold and plan entries by keyboard, on a page at 127.0.0.1 that only you can open.

    RUN is a run folder. Pairs that the matcher is least sure of come first; with --sample-papers every pair of a random
    sample of papers does, which is what `evalkit score --labels` needs. Papers of much and of little doubt are drawn
    alike. Every answer is on disk before the next is
    asked: stop whenever you like, the same command goes on from there.
    """
    from evalkit.labels.page import nearest, open_session, sampled
    from evalkit.labels.page.server import require, serve

    require()
    tasks, threshold = _tasks(run, labels)
    queue = sampled(tasks, sample_papers, seed) if sample_papers is not None else nearest(tasks, threshold)
    session = open_session(tasks, queue, out, annotator)

    def announce(address: str) -> None:
        say(f"label at {address}\nstop with Ctrl-C; answers go to {session.journal.path}")
        if opened:
            click.launch(address)

    serve(session, port=port, announce=announce)
    say(f"{session.view()['answered']} of {session.view()['total']} pairs answered; labels in {session.out}")


def _tasks(run: str | None, labels: tuple[str, ...]) -> tuple[list[LabelTask], float]:
    """Return what is to be labelled, and the threshold that pairs are near to."""
    from evalkit.errors import InputError
    from evalkit.labels.page import tasks_of_labels, tasks_of_run, threshold_of
    from evalkit.storage.label_files import read_labels
    from evalkit.storage.runs import load_run

    if (run is None) == (not labels):
        raise InputError("name what to label: a run folder, or --labels FILE, and not both")
    if run is None:
        return tasks_of_labels(read_labels(labels)), 0.5
    loaded = load_run(run)
    return tasks_of_run(loaded), threshold_of(loaded)
