"""What was said in a dialogue as one text to read, the same for training and for a model that answers."""

from __future__ import annotations

from collections.abc import Sequence

NEXT_TURN = "<turn>"
"""A word of its own between the turns of a context."""


def in_context(turns: Sequence[str], *, context: int) -> str:
    """The last `context` turns as one source, as a model is trained on them; each on one line, its spaces single.

    A word of a turn that is `NEXT_TURN` itself, in whatever letters, is left out: nobody speaks for another.
    """
    lines = (" ".join(word for word in turn.split() if word.lower() != NEXT_TURN) for turn in turns[-context:])
    return f" {NEXT_TURN} ".join(line for line in lines if line)


def last_turn(source: str) -> str:
    """The turn that a source of `in_context` ends with."""
    return source.rpartition(NEXT_TURN)[2].strip()
