"""`evalkit show`: the evidence for one paper."""

import click


@click.command("show")
@click.argument("run")
@click.option("--paper", required=True, help="Paper id, as in papers.csv; case and punctuation do not matter.")
@click.option("--planner", help="Only this planner.  [default: all of them]")
def command(run: str, paper: str, planner: str | None) -> None:
    """Show gold and plan of one paper side by side: what matched, why, and what was missed."""
    from evalkit.report import console
    from evalkit.storage.runs import load_run

    loaded = load_run(run)
    console.show(console.paper(loaded, paper, name) for paper, name in loaded.plans_of(paper, planner))
