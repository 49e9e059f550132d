"""What is to be seen while a model trains: one live line, and a line for each evaluation."""

from __future__ import annotations

import math
from typing import Any

from rnnkit.cli import terminal

_SMOOTHING = 0.95  # of the loss shown: about the last twenty steps


class Progress:
    """An observer of training. Events of a baseline that trains after the model carry its name."""

    def __init__(self, line: terminal.LiveLine) -> None:
        self.line = line
        self._name, self._unit, self._loss_unit, self._loss_in = "", "char", "char", "nats"
        self._loss: float | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "start":
                self._name, self._loss, self._unit = event["name"], None, event["unit"]
                self._loss_unit, self._loss_in = event["loss_unit"], event["loss_in"]
                verb = "resuming" if event["is_resumed"] else "training"
                machine = event["machine"]
                self.line.keep(
                    f"{verb} {self._name}: {event['parameters']:,} parameters, {machine['threads']} threads, "
                    f"{machine['isa']}"
                )
            case "step" | "skip":
                self._step(event)
            case "eval":
                best = ", best" if event["is_best"] else ""
                held_out = event.get("nats_per_character", event["nll"])
                scale = held_out / event["nll"] if event["nll"] else 1.0  # nats may be none at all
                train = "" if event["loss"] is None else f"train {self._nats(event['loss'] * scale)}, "
                right = f", {event['accuracy']:.1%} right" if "accuracy" in event else ""
                self.line.keep(
                    f"{self._name} step {event['step']:,}: {train}held-out {self._nats(held_out)}{right}{best}"
                )
            case "generation":
                self._generation(event)
            case "note":
                self.line.keep(f"note: {event['text']}")

    def _step(self, event: dict[str, Any]) -> None:
        if math.isfinite(event["loss"]) and event["characters_per_s"]:
            loss = event["loss"] * event["tokens_per_s"] / event["characters_per_s"]  # nats per token -> per character
            self._loss = loss if self._loss is None else _SMOOTHING * self._loss + (1 - _SMOOTHING) * loss
        total = f"/{event['total_steps']:,}" if event["total_steps"] else ""
        parts = [f"{self._name} step {event['step']:,}{total}"]
        if self._loss is not None:
            parts.append(f"loss {self._nats(self._loss)}")
        if event["skipped"]:
            parts.append(f"skipped {event['skipped']}")
        if event["eta_s"] is not None:
            parts.append(f"{terminal.duration(event['eta_s'])} left")
        parts.append(f"{event['characters_per_s']:,.0f} {self._unit}/s")
        self.line.show(*parts)

    def _generation(self, event: dict[str, Any]) -> None:
        """Of a search for a policy."""
        said = f"{event['name']} generation {event['generation']}/{event['generations']}"
        returns = f"best {event['best']:.1f}, mean {event['mean']:.1f}"
        if "held_out" in event:
            best = ", best" if event["is_best"] else ""
            self.line.keep(f"{said}: {returns}, held-out {event['held_out']:.1f}{best}")
        else:
            self.line.show(said, returns, terminal.duration(event["seconds"]))

    def _nats(self, nats: float) -> str:
        return f"{nats:.3f} {self._loss_in}/{self._loss_unit}"
