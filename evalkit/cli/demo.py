"""`evalkit demo`: a sample project to look at and to change."""

from typing import Any

import click

from evalkit.cli.options import SCORING, cache_options, workplace


@click.command("demo")
@click.argument("folder", default="evalkit-demo")
@click.option("--force", is_flag=True, help="Write over files of the demo that were changed.")
@SCORING["matcher"]
@SCORING["model"]
@cache_options
def command(folder: str, force: bool, cache: str | None, no_cache: bool, **options: Any) -> None:
    """Write a sample project into FOLDER (two planners, ten papers, their gold), score it, and say what to try next.

    Where an earlier demo lies, files that are gone come back, and it is scored again. Where one of its files was
    changed, nothing is written without --force.
    """
    from evalkit.report import console, progress
    from evalkit.scoring.pipeline import score_run
    from evalkit.settings import Settings
    from evalkit.storage.files import is_there, remove_folder, sample_project, without_same, write_texts

    settings, new, files = Settings().with_options(options), not is_there(folder), sample_project(folder)
    lacking = without_same(files)
    write_texts(files if force else lacking, force=force)
    try:
        with progress.bar() as advance, workplace({"no_cache": no_cache}, cache) as place:
            run = score_run(f"{folder}/plans", f"{folder}/gold", settings, progress=advance, **place)
        run.save(f"{folder}/run", force=force or len(lacking) < len(files))  # an earlier demo's run is made anew
    except BaseException:
        if new:
            remove_folder(folder)
        raise
    console.show([*console.summary(run), console.next_steps(folder)])
