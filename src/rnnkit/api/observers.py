"""Those who watch training and write down what they see."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rnnkit.errors import MissingExtraError


class TensorBoard:
    """Losses, rate and gradient norm as TensorBoard events in `folder`, one subfolder per model trained.

    Raises: MissingExtraError when tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("--tensorboard needs tensorboard", extra="tensorboard") from error
        self._open = SummaryWriter
        self._folder = folder
        self._writer: Any = None

    def __call__(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "start":
                self._writer = self._open(str(self._folder / event["name"]))
            case "step":
                for key in ("loss", "lr", "grad_norm", "characters_per_s"):
                    if math.isfinite(event[key]):
                        self._writer.add_scalar(f"training/{key}", event[key], event["step"])
            case "eval":
                self._writer.add_scalar("held_out/nats_per_token", event["nll"], event["step"])
            case "sample":
                self._writer.add_text("sample", event["text"], event["step"])
            case "end":
                self.close()

    def close(self) -> None:
        """Write out what is still held back; also for a run that ended early."""
        if self._writer is not None:
            self._writer.close()
