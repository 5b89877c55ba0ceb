"""What a user can do wrong, each kind with the exit code it ends in.

A bug is none of these: it crashes with a traceback and exit code 1, so that CI never mistakes it for a verdict.
"""

DISTRIBUTION = "ablation-evalkit"  # the name `evalkit` on the package index belongs to another project


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


class EvalkitError(Exception):
    """Anything a user can mend; the message names the place and the way out."""

    exit_code = 2


class InputError(EvalkitError):
    """A file or folder that cannot be used as given."""


class SettingsError(EvalkitError):
    """A setting that does not exist or has a value it may not have."""


class ModelError(EvalkitError):
    """The embedding model cannot be had, or is not the one it claims to be."""


class JudgeError(EvalkitError):
    """A language model's server that cannot be asked as it was meant to be."""


class Stopped(EvalkitError):
    """The user stopped what was going on; what was done is kept."""

    exit_code = 130


class EngineError(EvalkitError):
    """Workers that cannot be had, or that died over the same work again and again."""


class OutputError(EvalkitError):
    """A place that cannot be written to, or must not be overwritten."""


class IncomparableError(EvalkitError):
    """Two runs that differ in more than their plans."""


class GateTripped(EvalkitError):
    """A gate's rule was broken: not an error of input, and not a crash."""

    exit_code = 3
