"""What the doctor found: findings, costs and sizes, as lines for people and as a dict for --json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """One thing the user should know. `severity` is "error" (training will refuse), "warning" or "info"."""

    severity: Literal["error", "warning", "info"]
    what: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.what}; {self.remedy}"


@dataclass(frozen=True)
class Cost:
    """What a tokeniser costs with an LSTM of one layer (formulas: `cost`)."""

    kind: str
    vocab_size: int
    num_tokens: int  # of the training part
    unknown_share: float  # of the held-out tokens
    num_parameters: int
    parameter_bytes: int
    softmax_share: float  # of the arithmetic of a training step
    memory_bytes: int  # while training
    epoch_s: float  # one pass over the training part


@dataclass(frozen=True)
class Report:
    """What `doctor` found. `.lines()` for people, `.to_dict()` for --json."""

    text: dict[str, Any]  # encoding, is_ascii, has_byte_order_mark, line_ends (name → count, as they were in the files)
    sizes: dict[str, int]  # documents, lines, characters, bytes, words; training and held-out parts
    costs: list[Cost]
    suggestion: dict[str, Any]  # tokenizer and the reason
    line_lengths: dict[int, int]  # lower edge of a power-of-two bin → count, training part
    document_lengths: dict[int, int]
    assumed: dict[str, Any]  # what costs assume: hidden_size, embedding_size, batch_size, window, flops_per_s(_from)
    findings: list[Finding] = field(default_factory=list)

    @property
    def has_errors(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The report for a terminal."""
        if self.text:
            yield _text_line(self.text)
        if self.sizes:
            yield ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in self.sizes.items())
        if self.costs:
            yield ""
            yield (
                f"{'tokens':<6} {'vocabulary':>10} {'training':>12} {'unknown':>8} {'parameters':>12} "
                f"{'softmax':>8} {'memory':>8} {'epoch':>8}"
            )
            for cost in self.costs:
                yield (
                    f"{cost.kind:<6} {cost.vocab_size:>10,} {cost.num_tokens:>12,} {cost.unknown_share:>8.2%} "
                    f"{cost.num_parameters:>12,} {cost.softmax_share:>8.0%} "
                    f"{_bytes(cost.memory_bytes):>8} {_duration(cost.epoch_s):>8}"
                )
            assumed = self.assumed
            yield (
                f"(unknown: of the held-out tokens; for one LSTM layer of {assumed['hidden_size']} units, "
                f"embeddings of {assumed['embedding_size']}, {assumed['batch_size']} rows of {assumed['window']} "
                f"tokens; epoch: at {assumed['flops_per_s'] / 1e9:.3g} Gflop/s, {assumed['flops_per_s_from']})"
            )
        for name, histogram in (("lines", self.line_lengths), ("documents", self.document_lengths)):
            if histogram:
                yield ""
                yield f"{name} by length in characters"
                yield from _bars(histogram)
        if self.suggestion:
            yield ""
            yield f"suggested: --tokenizer {self.suggestion['tokenizer']}: {self.suggestion['reason']}"
        if self.sizes:
            yield ""
        yield from map(str, self.findings)
        if not self.findings:
            yield "nothing to complain about"


def _text_line(text: dict[str, Any]) -> str:
    if text["encoding"] == "bytes":
        return "read as bytes, whatever they mean"
    ends = text["line_ends"]
    counted = ", ".join(f"{count:,} {name}" for name, count in ends.items()) if len(ends) > 1 else "".join(ends)
    return (
        f"encoding {text['encoding']}{' (all of it ASCII)' if text['is_ascii'] else ''}, "
        f"{'with' if text['has_byte_order_mark'] else 'no'} byte order mark, line ends {counted or 'none'}"
    )


def _bars(histogram: dict[int, int]) -> Iterator[str]:
    most = max(histogram.values())
    for edge, count in histogram.items():
        label = "0" if edge == 0 else "1" if edge == 1 else f"{edge:,} … {2 * edge - 1:,}"
        yield f"{label:>25} {count:>10,} {'█' * round(40 * count / most)}"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
