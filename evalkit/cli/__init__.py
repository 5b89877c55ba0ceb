"""The command line: commands are loaded when they are named, and errors become exit codes here and only here."""

from __future__ import annotations

import errno
import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from evalkit.cli import streams
from evalkit.errors import DISTRIBUTION, EvalkitError, InputError, OutputError, Stopped

NO_PLACE = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES)  # what is no path, or nothing that we may look at
WORDS = "evalkit.words"  # under which a context keeps the words of the command line
COMMANDS = {
    "score": "score plans against gold; the main job",
    "watch": "score again whenever a plan is saved",
    "show": "gold and a plan side by side",
    "report": "a run as one HTML page to open, read and send",
    "table": "the leaderboard for a paper or a pull request",
    "plot": "one chart as a file",
    "compare": "what changed between two runs, and how sure that is",
    "gate": "rules that a new run must keep; for CI",
    "baseline": "a run's scores as a small file for git",
    "view": "a folder of runs in the browser",
    "history": "many runs in the order of their time",
    "export": "a run in the files of other tools",
    "log": "a run in an experiment tracker",
    "gold": "gold from the text of reviews, as drafts to confirm",
    "label": "a page where a person decides pairs",
    "validate": "read plans or gold and report what is wrong with them",
    "convert": "rewrite documents in another format",
    "schema": "the JSON Schema of a file or a --json document",
    "formats": "the formats that can be read and written",
    "demo": "a small sample project, scored",
    "doctor": "what is installed, and how to get what is missing",
    "cache": "what is kept between runs: how large, forget, prune",
    "calibrate": "fit a matcher to labelled pairs",
    "agree": "how well a matcher agrees with labels",
}


class Commands(click.Group):
    """A group whose commands are modules of evalkit.cli, imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"evalkit.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words of the command line, which a run that is made of them remembers."""
        ctx.meta[WORDS] = tuple(args)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of that name."""
        near = get_close_matches(args[0], COMMANDS, n=1)
        if near and args[0] not in COMMANDS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C ends it as a shell expects, and not in a crash's exit code."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            # click's own suggestions include names that have little in common.
            known = [name.lstrip("-") for name in error.possibilities or ()]
            near = get_close_matches(error.option_name.lstrip("-"), known, n=1, cutoff=0.75)
            raise click.NoSuchOption(
                error.option_name, possibilities=[f"--{name}" for name in near], ctx=error.ctx
            ) from None
        except OSError as error:
            if error.errno in NO_PLACE and error.filename:  # which even asking whether it is there may end in
                from evalkit.storage.files import error_reason

                raise InputError(f"{error.filename}: {error_reason(error)}") from error
            raise
        except (KeyboardInterrupt, click.Abort) as error:
            raise Stopped("stopped; nothing is left half-written, and what was kept is kept") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(DISTRIBUTION), prog_name="evalkit")
def group() -> None:
    """Score generated ablation plans against reference ablations.

    Exit codes: 0 done, 2 wrong input or usage, 3 a gate tripped, 130 stopped by Ctrl-C, 143 or 129 by SIGTERM or
    SIGHUP, 1 a crash.
    """


def main() -> None:
    """Run the console script: a user's mistake becomes one line and its exit code, a bug stays a traceback."""
    # A run makes many small things that all stay; Python's search for cycles among them took a twentieth of its time.
    gc.set_threshold(500_000, 20, 20)
    with streams.guarded(), _ended_by_signals() as received:
        code = _run()
        if (lost := streams.failure()) and code in (0, None):  # an error that was not printed is still one
            _print_error(lost)
            code = lost.exit_code
    sys.exit(128 + received[0] if received else code)


@contextmanager
def _ended_by_signals() -> Iterator[list[int]]:
    """Let what ends a process end a command as Ctrl-C does, so that nothing it started or half wrote remains.

    Yields the signal that came. One that is ignored, as `nohup` has it, stays so.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        for one in ours:
            signal.signal(one, signal.SIG_IGN)  # a second one would leave the first one's work half done
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only that one may set signal handlers
        ours = []
    for number in ours:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _run() -> Any:
    """Run the command that the command line names, and return its exit code."""
    try:
        group.main(standalone_mode=True)
    except EvalkitError as error:
        _print_error(error)
        return error.exit_code
    except SystemExit as end:
        return end.code
    return 0


def _print_error(error: EvalkitError) -> None:
    """Print an error on standard error, as far as that can be done."""
    from evalkit.text import safe_terminal

    with suppress(OutputError):
        click.echo(f"evalkit: error: {safe_terminal(str(error))}", err=True)
