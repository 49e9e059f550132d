"""FrameTagger: train one from recordings with a label for every frame, or load one, and let it label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from rnnkit import data
from rnnkit.api.tagger import Tagger
from rnnkit.baselines import FrameMlp
from rnnkit.baselines.frames import FrameBaselineName
from rnnkit.data.framed import frames_of
from rnnkit.errors import DataError
from rnnkit.runtime import FrameByFrame
from rnnkit.tasks.frames_score import PEER, LabelledBy, frame_rows


class FrameTagger(Tagger):
    """A trained recurrent labeller of frames of numbers.

        model = rnnkit.FrameTagger.train("walk.csv", window_frames=32, run="runs/walk")
        model = rnnkit.FrameTagger.load("runs/walk")               # needs no torch
        model.predict([frames])                                    # [['rest', 'rest', 'step', …]] of frames [T, I]
        log_probs, state = model.step(frame[None], state)          # where it reads forwards only, as frames come

    Everything but `train`, `read` and `evaluate` comes from `rnnkit.runtime.Transducer`, and keeps its exactness.
    """

    _noun = "labeller of frames"

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.frames import FramesRunConfig

        return FramesRunConfig

    def read(self, file: str | Path, *, encoding: str = "utf-8") -> data.Framed:
        """The recordings of a file, cut into windows as it was trained; labels need not be there and are not read.

        Raises: as `rnnkit.data.read_framed`; DataError for frames of another size.
        """
        is_known = self.path is not None and (self.path / "metrics.json").exists()
        trained = self.metrics["config"]["data"] if is_known else {"label_column": None, "window_frames": None}
        how: Any = {"label_column": trained["label_column"], "encoding": encoding, **self._pictures()}
        found = data.read_framed(file, labelled=False, **how)
        return self._fitting(found).cut(trained["window_frames"])

    def evaluate(  # type: ignore[override]
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        label_column: str | None = None,
        encoding: str = "utf-8",
    ) -> dict[str, Any]:
        """Judge on labelled recordings, beside the baselines of the run, all on the same ones; needs no torch.

        Args:    as `rnnkit.data.read_framed`; a column that is not named is the one it was trained with.
        Returns: `model` and `baselines` as in metrics.json.
        Raises:  DataError naming the row, also of a label that was not trained on; UnsafePathError.
        """
        trained = self.metrics["config"]["data"]
        how: Any = {"label_column": label_column or trained["label_column"], "encoding": encoding, **self._pictures()}
        found = data.read_framed(sources, **how)
        framed = self._fitting(found).cut(trained["window_frames"])
        data.tag_ids(framed, self.labels)  # names a label that it does not know
        systems = [
            LabelledBy(name, one.predict(framed.sentences), own, one.log_probs(framed.sentences))
            for name, one, own in self._systems()
        ]
        model, *baselines = frame_rows(systems, framed.tags, labels=self.labels)
        return {"model": model, "baselines": baselines, "labels": self.labels}

    def _fitting(self, framed: data.Framed) -> data.Framed:
        wanted = tuple(self.config["model"].get("frame_shape", ())) or (self._size,)
        if framed.frame_shape != wanted:
            raise DataError(
                f"{framed.place(0)}: {frames_of(framed.frame_shape)}, trained is on {frames_of(wanted)}; "
                "give what was trained on"
            )
        return framed

    def _pictures(self) -> dict[str, Any]:
        """How videos are read: as the model wants them."""
        shape = self.config["model"].get("frame_shape")
        return {"frame_size": tuple(shape[:2]), "grey": shape[2] == 1} if shape else {}

    @classmethod
    def _baseline_kinds(cls) -> Mapping[str, Any]:
        return {**dict.fromkeys(get_args(FrameBaselineName), FrameMlp), PEER: FrameByFrame}
