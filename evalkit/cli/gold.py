"""`evalkit gold`: reference lists made from reviews, and confirmed by a person."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.options import CONFIG, PORT, say, server_options, settings_from

if TYPE_CHECKING:
    from evalkit.labels.drafts import Decision


@click.group("gold")
def command() -> None:
    """Make gold from the free text of reviews, and confirm what was made."""


@command.command("extract")
@click.argument("reviews")
@click.option("--out", required=True, metavar="DIR", help="Where the draft gold files go, one a paper.")
@click.option("--force", is_flag=True, help="Replace files that exist, confirmed or not.")
@click.option("--cache", metavar="DIR", help="Where replies are kept.  [default: your cache folder]")
@server_options
@CONFIG
def extract(reviews: str, out: str, force: bool, cache: str | None, config: str | None, **options: Any) -> None:
    """Let a language model list the ablations that REVIEWS ask for, as drafts with the sentence each came from.

    REVIEWS is a file or a folder: JSON or JSONL with `paper`, `review_text` and perhaps `num_ablation_suggestions`, or
    text files named after their paper. Drafts are not scored until `evalkit gold confirm` or `--allow-drafts`.
    """
    from pathlib import Path

    from evalkit.errors import JudgeError
    from evalkit.judges.llm import ReplyCache, key_from, parse_prompt
    from evalkit.labels.extraction import Extractor, gold_file, read_reviews, summary
    from evalkit.storage.files import cache_folder, read_text, shipped, write_texts

    settings = settings_from(config, options).judge
    path = shipped("configs/judge/extract.toml")
    prompt = parse_prompt(read_text(path), str(path), ("fence", "review"))
    with ReplyCache(cache_folder(cache)) as replies:
        extractor = Extractor(settings, prompt, replies, partial(key_from, settings, os.environ))
        drafts = list(extractor.drafts(read_reviews(reviews)))
    if all(item.failed for item in drafts):
        raise JudgeError(f"{settings.url}: no review was answered; the first: {drafts[0].failed}")
    files = {Path(out, f"{_file_name(item.review.paper)}.json"): gold_file(item, settings, prompt)
             for item in drafts if not item.failed}  # fmt: skip
    write_texts(files, force=force)
    for line in (*summary(drafts), f"asked just now: {extractor.budget.spent()}", f"{len(files)} drafts in {out}"):
        say(line)


def _file_name(paper: str) -> str:
    """Return the file name for a paper, whatever its id is made of."""
    from evalkit.report.exports import place
    from evalkit.text import normalise_id

    return place(normalise_id(paper).replace("/", "_"))


@command.command("confirm")
@click.argument("gold")
@click.option("--all", "everything", is_flag=True, help="Keep every draft entry without asking.")
@click.option("--page", is_flag=True, help="Decide on the label page instead of in the terminal.")
@click.option("--port", type=PORT, default=0, help="Port of the page.  [default: any that is free]")
def confirm(gold: str, everything: bool, page: bool, port: int) -> None:
    """Decide each draft entry of GOLD: keep it, drop it, or leave it for later. Every decision is kept at once."""
    from evalkit.labels.drafts import confirm as decide

    if page:
        _on_page(gold, port)
        return
    kept, dropped, left = decide(gold, _keep if everything else _ask)
    click.echo(f"{kept} kept, {dropped} dropped, {left} still drafts")


def _on_page(gold: str, port: int) -> None:
    """Confirm on the label page until it is stopped."""
    from evalkit.labels.drafts import DraftSession
    from evalkit.labels.page.server import require, serve

    require()
    session = DraftSession(gold)
    serve(session, port=port, announce=lambda address: click.echo(f"confirm at {address}\nstop with Ctrl-C"))
    click.echo(f"{session.export()} of {len(session.items)} draft entries decided")


def _keep(paper: str, entry: dict[str, Any]) -> Decision:
    """Keep an entry without asking."""
    return "keep"


def _ask(paper: str, entry: dict[str, Any]) -> Decision:
    """Ask a person about one entry."""
    from evalkit.text import safe_terminal

    for name in ("source", "name", "ablated_part", "action", "replacement", "metrics"):
        if entry.get(name):
            say(f"  {name}: {entry[name]}")
    answers: dict[str, Decision] = {"k": "keep", "d": "drop", "l": "later", "q": "stop"}
    choice = click.prompt(f"{safe_terminal(paper)}: [k]eep, [d]rop, [l]ater, [q]uit", type=click.Choice(list(answers)))
    return answers[choice]
