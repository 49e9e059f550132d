"""One error tree: every message names the argument, what came, what was wanted and one thing to try."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of `known` that a misspelt name most likely means, or None."""
    import difflib  # here: a program without a mistake does not wait for it

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


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
    """A feature needs an optional dependency; the message says what, and how to install the `extra` that has it."""

    def __init__(self, message: str, *, extra: str = "") -> None:
        remedy = f"; in rnnkit's source folder: pip install '.[{extra}]'" if extra else ""
        super().__init__(message + remedy)


class DataError(RnnkitError, ValueError):
    """Input data that cannot be used; the message names the file, the place and the remedy."""


class StateError(RnnkitError, ValueError):
    """A state that does not belong to this model, or bytes that are no state."""


class BundleError(RnnkitError):
    """A bundle that cannot be loaded or written. Subclasses say which part is wrong."""


class MissingFileError(BundleError):
    """The folder, its manifest, or a file that the manifest names is not there."""


class UnsafePathError(BundleError):
    """A name that leaves the bundle's folder, or a link, device, pipe or folder where a plain file belongs."""


class DigestError(BundleError):
    """A file's bytes are not those that the manifest names."""


class VersionError(BundleError):
    """A bundle of a format that this rnnkit does not read."""


class JsonError(BundleError):
    """A JSON file that is no strict JSON: NaN, duplicate keys, endless nesting, numbers out of range."""


class SchemaError(BundleError):
    """A manifest, configuration or tokeniser whose keys or values are not those of the format."""


class TensorFileError(BundleError):
    """A tensor file whose header lies: overlaps, holes, shapes that do not fit their bytes, unknown dtypes."""


class TensorError(BundleError):
    """Tensors that are not those of the configured model: missing, left over, or of another shape or dtype."""


class CheckpointError(RnnkitError):
    """A checkpoint that cannot be resumed from."""


class DivergedError(RnnkitError):
    """Training met too many non-finite losses or gradients in a row."""


class TrainingInterrupted(RnnkitError):
    """A signal ended training after a whole step; everything is saved and `resume` goes on from there."""

    exit_code = 130


class SaveError(RnnkitError, OSError):
    """A file could not be written; what was there before is intact."""
