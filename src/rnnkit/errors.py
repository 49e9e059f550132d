"""One error tree: every message names the argument, what came, what was wanted and one thing to try."""

from __future__ import annotations


class RnnkitError(Exception):
    """Whatever rnnkit raises on purpose. The command line prints it as one line and exits with `exit_code`."""

    exit_code = 1


class UsageError(RnnkitError):
    """The call itself is wrong: an option, an argument, a combination of them."""

    exit_code = 2


class ConfigError(UsageError, ValueError):
    """A configuration key or value that does not exist or does not fit."""


class ArgumentError(UsageError, ValueError):
    """An argument outside its range."""


class ShapeError(ArgumentError):
    """An array whose rank or size does not fit; the message names the axis."""


class DtypeError(UsageError, TypeError):
    """An array or argument of the wrong type."""


class MissingExtraError(UsageError, ImportError):
    """A feature needs an optional dependency; the message names the extra to install."""


class DataError(RnnkitError, ValueError):
    """Input data that cannot be used; the message names the file, the place and the remedy."""


class StateError(RnnkitError, ValueError):
    """A state that does not belong to this model, or bytes that are no state."""


class BundleError(RnnkitError):
    """A bundle that cannot be loaded or written. Subclasses say which part is wrong."""


class CheckpointError(RnnkitError):
    """A checkpoint that cannot be resumed from."""


class DivergedError(RnnkitError):
    """Training met too many non-finite losses or gradients in a row."""


class SaveError(RnnkitError, OSError):
    """A file could not be written; what was there before is intact."""
