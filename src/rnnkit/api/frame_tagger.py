"""FrameTagger: train one from recordings with labels or numbers for every frame, or load one, and let it say them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from rnnkit import data
from rnnkit.api.tagger import Tagger
from rnnkit.baselines import FrameMlp
from rnnkit.baselines.frames import FrameBaselineName
from rnnkit.data.framed import check_order, frames_of
from rnnkit.errors import DataError
from rnnkit.runtime import FrameByFrame
from rnnkit.tasks.frames_score import PEER, rows_of, said_by


class FrameTagger(Tagger):
    """A trained recurrent labeller of frames of numbers.

        model = rnnkit.FrameTagger.train("walk.csv", window_frames=32, run="runs/walk")
        model = rnnkit.FrameTagger.load("runs/walk")               # needs no torch
        model.predict([frames])                                    # [['rest', 'rest', 'step', …]] of frames [T, I]
        log_probs, state = model.step(frame[None], state)          # where it reads forwards only, as frames come

    Where frames have several labels, `predict` gives a list of those there for every frame, and log-probabilities are
    those of each being there; where they have numbers, `predict` and `step` give these. One of the next frame says of
    every frame what follows it: of labels it begins with a frame of zeros.

    Everything but `train`, `read` and `evaluate` comes from `rnnkit.runtime.Transducer`, and keeps its exactness.
    """

    _noun = "labeller of frames"

    @classmethod
    def _run_config(cls) -> Any:
        from rnnkit.api.frames import FramesRunConfig

        return FramesRunConfig

    def read(self, file: str | Path, *, encoding: str = "utf-8") -> data.Framed:
        """The recordings of a file, cut into windows as it was trained; labels need not be there and are not read.

        For a model of the next frame they are whole and go one row beyond the end: see `data.Framed.up_to_next`.

        Raises: as `rnnkit.data.read_framed`; DataError for frames of another size, or columns in another order.
        """
        of_next: Any = {"targets": self.targets} if self.is_next else {}
        columns = {**self._columns(file), **of_next}
        return self._fitting(data.read_framed(file, **columns, encoding=encoding, labelled=False))

    @property
    def is_next(self) -> bool:
        """Whether it was trained to say every frame from those before it."""
        return bool(self._trained().get("next_frame", False))

    def _trained(self) -> dict[str, Any]:
        """The choices of data that it was trained with; none where its run is not known."""
        is_known = self.path is not None and (self.path / "metrics.json").exists()
        return self.metrics["config"]["data"] if is_known else {}

    def _columns(self, sources: Any) -> dict[str, Any]:
        """How to read these files: as it was trained; arrays have no columns."""
        trained, several = self._trained(), [sources] if isinstance(sources, str | Path) else sources
        is_arrays = any(str(source).lower().endswith(".npz") for source in several)
        columns = () if is_arrays else ("label_column", "target_columns", "feature_columns")
        names = (*columns, "next_frame", "window_frames")
        return {**{name: trained[name] for name in names if trained.get(name)}, **self._pictures()}

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
        columns = self._columns(sources)
        if label_column is not None:
            columns["label_column"] = label_column
        targets = None if self.targets == "label" else self.targets  # of one label the columns say it, and y
        framed = self._fitting(data.read_framed(sources, **columns, targets=targets, encoding=encoding))
        if framed.kind != self.targets or len(framed.names) not in (0, len(self.labels)):
            found = f"{len(framed.names)} {framed.kind}" if framed.names else "one label"
            wanted = "one label" if self.targets == "label" else f"{len(self.labels)} {self.targets}"
            place = framed.place(0)
            raise DataError(f"{place}: {found} for each frame, trained is on {wanted}; give what was trained on")
        if self.targets == "label":
            data.tag_ids(framed, self.labels)  # names a label that it does not know
        systems = [said_by(name, one, own, framed=framed) for name, one, own in self._systems()]
        deviation = self.target_deviation if self.targets == "numbers" else None
        model, *baselines = rows_of(systems, framed, labels=self.labels, deviation=deviation, is_next=self.is_next)
        return {"model": model, "baselines": baselines, "labels": self.labels, "targets": self.targets}

    def _fitting(self, framed: data.Framed) -> data.Framed:
        wanted = tuple(self.config["model"].get("frame_shape", ())) or (self._size,)
        if framed.frame_shape != wanted:
            raise DataError(
                f"{framed.place(0)}: {frames_of(framed.frame_shape)}, trained is on {frames_of(wanted)}; "
                "give what was trained on"
            )
        if self._trained():
            check_order(framed, self.metrics.get("columns", ()))  # runs of an older rnnkit do not say it
        return framed

    def _pictures(self) -> dict[str, Any]:
        """How videos are read: as the model wants them."""
        shape = self.config["model"].get("frame_shape")
        return {"frame_size": tuple(shape[:2]), "grey": shape[2] == 1} if shape else {}

    @classmethod
    def _baseline_kinds(cls) -> Mapping[str, Any]:
        return {**dict.fromkeys(get_args(FrameBaselineName), FrameMlp), PEER: FrameByFrame}
