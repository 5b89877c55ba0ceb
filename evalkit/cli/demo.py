"""`evalkit demo`: a sample project to look at and to change."""

from typing import Any

import click

from evalkit.cli.options import SCORING, cache_options, workplace


@click.command("demo")
@click.argument("folder", default="evalkit-demo")
@click.option("--force", is_flag=True, help="Write over an earlier demo.")
@SCORING["matcher"]
@SCORING["model"]
@cache_options
def command(folder: str, force: bool, cache: str | None, no_cache: bool, **options: Any) -> None:
    """Write a sample project into FOLDER (two planners, ten papers, their gold), score it, and say what to try next."""
    from evalkit.report import console, progress
    from evalkit.scoring.pipeline import score_run
    from evalkit.settings import Settings
    from evalkit.storage.files import is_there, remove_folder, sample_project, write_texts

    settings, new = Settings().with_options(options), not is_there(folder)
    write_texts(sample_project(folder), force=force)
    try:
        with progress.bar() as advance, workplace({"no_cache": no_cache}, cache) as place:
            run = score_run(f"{folder}/plans", f"{folder}/gold", settings, progress=advance, **place)
        run.save(f"{folder}/run", force=force)
    except BaseException:
        if new:
            remove_folder(folder)
        raise
    console.show([*console.summary(run), console.next_steps(folder)])
