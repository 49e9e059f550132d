"""Writes the README's measured part from the committed results, so that no figure there is typed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_WANTED = {"at_most": "at most {:g}", "below": "below {:.4f}", "at_least": "at least {:g}", "above": "above {:.4f}"}
_BLOCK = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)


def measured(folder: Path = ROOT / "recipes" / "results") -> str:
    """Markdown for every result in `folder`: where and when, each run beside its best baseline, and the claims."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not results:
        return (
            "Nothing yet: `make recipe NAME=shakespeare-char` measures on your machine and writes its figures here.\n"
        )
    return "\n".join(_section(result) for result in results)


def with_measured(readme: str) -> str:
    """The README with its measured part renewed."""
    return _BLOCK.sub(lambda _: measured(), readme)


def _section(result: dict[str, Any]) -> str:
    machine = result["machine"]
    head = (
        f"**{result['recipe']}** on {machine['processor']}, {machine['threads']} threads, {machine['isa']}, "
        f"{result['date']} (commit {result['commit'][:10]}):\n"
    )
    is_classifier = any("accuracy" in run["model"] for run in result["runs"].values())
    lines = [head, *(_accuracies if is_classifier else _perplexities)(result), ""]
    for claim in result["claims"]:
        wanted = next(text.format(claim[kind]) for kind, text in _WANTED.items() if kind in claim)
        lines.append(
            f"- {claim['what']}: {claim['value']:.4f}, wanted {wanted}{'' if claim['holds'] else ': **missed**'}"
        )
    return "\n".join(lines) + "\n"


def _accuracies(result: dict[str, Any]) -> list[str]:
    lines = [
        "| run | training | accuracy | 95 % interval | best baseline | accuracy | p (paired) |",
        "|---|---:|---:|---|---|---:|---:|",
    ]
    for name, run in result["runs"].items():
        model, best = run["model"], max(run["baselines"], key=lambda row: row["accuracy"])
        lines.append(
            f"| {name} | {model['train_seconds']:.0f} s | {model['accuracy']:.2%} "
            f"| {model['accuracy_low']:.2%} to {model['accuracy_high']:.2%} "
            f"| {best['name']} | {best['accuracy']:.2%} | {best['p_value']:.2g} |"
        )
    return lines


def _perplexities(result: dict[str, Any]) -> list[str]:
    lines = [
        "| run | precision | training | perplexity | nats/char | bits/char | best baseline | nats/char |",
        "|---|---|---:|---:|---:|---:|---|---:|",
    ]
    for name, run in result["runs"].items():
        model, best = run["model"], min(run["baselines"], key=lambda row: row["nats_per_character"])
        precision = run["config"]["model"].get("precision", "fp32")
        figures = f"{model['nats_per_character']:.4f} | {model['bits_per_character']:.4f}"
        lines.append(
            f"| {name} | {precision} | {model['train_seconds']:.0f} s | {model['perplexity']:.2f} | {figures} "
            f"| {best['name']} | {best['nats_per_character']:.4f} |"
        )
    return lines


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_measured(path.read_text(encoding="utf-8")), encoding="utf-8")
