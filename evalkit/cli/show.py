"""`evalkit show`: the evidence, paper by paper."""

import click

from evalkit.cli.options import JSON


@click.command("show")
@click.argument("run")
@click.option("--paper", help="Paper id; case and punctuation do not matter.  [default: the worst papers first]")
@click.option("--planner", help="Only this planner.  [default: all of them]")
@click.option("--limit", type=click.IntRange(min=0), default=5, show_default=True,
              help="Without --paper, at most so many plans; 0 for all.")  # fmt: skip
@JSON
def command(run: str, paper: str | None, planner: str | None, limit: int, as_json: bool) -> None:
    """Show gold and plan side by side: what matched, why, and what was missed; in a terminal through its pager."""
    from evalkit.report import console, json_output
    from evalkit.storage.runs import load_run

    loaded = load_run(run)
    plans = loaded.plans_of(paper, planner) if paper else loaded.worst_plans(planner)
    shown = plans if paper or not limit else plans[:limit]
    if as_json:
        click.echo(json_output.evidence(loaded, shown))
        return
    more = [f"… and {len(plans) - len(shown)} more plans with higher match F1; --limit 0 shows all"]
    console.page([*(console.paper(loaded, *plan) for plan in shown), *(more if len(plans) > len(shown) else ())])
