"""`evalkit log`: a run in an experiment tracker."""

from pathlib import Path

import click

from evalkit.cli.options import Registered, say


@click.command("log")
@click.argument("run")
@click.option("--to", "tracker", required=True, type=Registered("evalkit.report.trackers", "TRACKERS"),
              help="Whose client sends it.")  # fmt: skip
@click.option("--project", default="evalkit", show_default=True, metavar="NAME", help="The experiment or project.")
def command(run: str, tracker: str, project: str) -> None:
    """Send RUN to an experiment tracker: settings, figures, tables and the report that is in the run folder.

    Where to is what the tracker's own variables say, as MLFLOW_TRACKING_URI, WANDB_MODE or TRACKIO_DIR. A run that is
    there already, by its signature and figures, is not sent again.
    """
    from evalkit.report.trackers import log_run

    new = log_run(Path(run), tracker, project)
    say(f"{run}: {'sent to' if new else 'is already in'} {project} of {tracker}")
