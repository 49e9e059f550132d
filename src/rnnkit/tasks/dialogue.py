"""The dialogue task: every turn of a dialogue is the target of those before it; the rest is the translation task."""

from __future__ import annotations

from typing import Any, ClassVar

from rnnkit import data
from rnnkit.runtime.responder import DIALOGUE, dialogue_file
from rnnkit.tasks.dialogue_config import DialogueConfig
from rnnkit.tasks.translate import PairsOfTexts, TranslationTask


class TurnsAndReplies(PairsOfTexts):
    """The pairs of a run on dialogues; a dialogue is held out as a whole."""

    def _read(self, chosen: Any) -> tuple[data.Pairs, data.Pairs, data.Pairs]:
        def read(sources: list[str]) -> data.Dialogues:
            found = data.read_dialogues(sources, encoding=chosen.encoding, skip_bad=chosen.skip_bad)
            self.skipped.update(found.skipped)
            return found

        train = read(chosen.sources)
        if chosen.test_sources is not None:
            test = read(chosen.test_sources)
        else:
            train, test = data.split_dialogues(train, chosen.held_out, seed=chosen.split_seed)
        if chosen.valid_sources is not None:
            valid = read(chosen.valid_sources)
        else:
            train, valid = data.split_dialogues(train, chosen.valid_share, seed=chosen.split_seed)
        how: Any = {"context": chosen.context, "speaker": chosen.speaker}
        return train.pairs(**how), valid.pairs(**how), test.pairs(**how)


class DialogueTask(TranslationTask):
    """Train an encoder-decoder on the dialogues of a configuration. Args: as `TranslationTask`."""

    config: DialogueConfig  # type: ignore[assignment]
    task_name: ClassVar[str] = "dialogue"
    pairs_class = TurnsAndReplies

    def _own_files(self) -> dict[str, bytes]:
        return {DIALOGUE: dialogue_file(self.config.data.context)}
