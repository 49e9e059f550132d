"""Responder: train one on dialogues, or load one, and talk to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnkit import data, runtime
from rnnkit.api.translator import Translator
from rnnkit.runtime import Conversation


class Responder(Translator, runtime.Responder):
    """A trained model of dialogue: turns in, a reply out.

        model = rnnkit.Responder.train("talks.jsonl", context=4, run="runs/talks")
        model = rnnkit.Responder.load("runs/talks")                # needs no torch
        reply, conversation = model.reply("good morning")
        reply, conversation = model.reply("who are you ?", conversation, temperature=0.7, seed=1)

    A conversation is a value: `conversation.to_bytes()` keeps it, going on from it twice forks it.
    """

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.dialogue import DialogueRunConfig

        return DialogueRunConfig

    def reply(self, turn: str, conversation: Conversation | None = None, **options: Any) -> tuple[str, Conversation]:
        """As `rnnkit.runtime.Responder.reply`; where nothing is drawn, written as for the table of its run."""
        how = options if options.get("temperature") else {**self.decoding, **options}
        return super().reply(turn, conversation, **how)

    def read(self, file: str | Path, *, encoding: str = "utf-8") -> data.Pairs:  # type: ignore[override]
        """The dialogues of a file as sources, each to be answered. Raises: as `rnnkit.data.read_dialogues`."""
        dialogues = data.read_dialogues([str(file)], encoding=encoding, with_replies=False)
        places = [turns[-1].place for turns in dialogues.dialogues]
        return data.Pairs(dialogues.asked(context=self.context), [()] * len(dialogues), places)

    def evaluate(  # type: ignore[override]
        self, sources: str | Path | Sequence[str | Path], *, encoding: str = "utf-8", **options: Any
    ) -> dict[str, Any]:
        """Judge on dialogues, beside the baselines of the run, all on the same turns; needs no torch.

        Args:    sources: as `rnnkit.data.read_dialogues`.  options: of `translate`, in place of those of its own table.
        Returns: `model` and `baselines` as in metrics.json.
        Raises:  DataError naming file and row.
        """
        names = [sources] if isinstance(sources, str | Path) else list(sources)
        dialogues = data.read_dialogues([str(name) for name in names], encoding=encoding)
        pairs = dialogues.pairs(context=self.context, speaker=self.metrics["config"]["data"]["speaker"])
        return self._judged(pairs, options, with_diversity=True)

    def source_of_line(self, line: str) -> str:
        """The source that a line of `rnnkit predict` means: turns between tabs, the oldest first."""
        return self.source_of([turn for turn in line.split("\t") if turn.strip()])
