"""`evalkit demo`: a sample project to look at and to change."""

import click

from evalkit.commands.options import SCORING


@click.command("demo")
@click.argument("folder", default="evalkit-demo")
@click.option("--force", is_flag=True, help="Write over an earlier demo.")
@SCORING["matcher"]
def command(folder: str, force: bool, matcher: str | None) -> None:
    """Write a sample project into FOLDER (two planners, ten papers, their gold), score it, and say what to try next."""
    from evalkit.files import sample_project, write_texts
    from evalkit.pipeline import score_run
    from evalkit.reporting import console, progress
    from evalkit.settings import Settings

    write_texts(sample_project(folder), force=force)
    with progress.bar() as advance:
        settings = Settings().with_options({"matcher": matcher})
        run = score_run(f"{folder}/plans", f"{folder}/gold", settings, progress=advance)
    run.save(f"{folder}/run", force=force)
    console.show([*console.summary(run), console.next_steps(folder)])
