"""Writes the README's measured part from the committed results, so that no figure there is typed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
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
    lines = [
        f"**{result['recipe']}** on {machine['processor']}, {machine['threads']} threads, {machine['isa']}, "
        f"{result['date']} (commit {result['commit'][:10]}):\n",
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
    lines.append("")
    for claim in result["claims"]:
        wanted = f"at most {claim['at_most']:g}" if "at_most" in claim else f"below {claim['below']:.4f}"
        lines.append(
            f"- {claim['what']}: {claim['value']:.4f}, wanted {wanted}{'' if claim['holds'] else ': **missed**'}"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_measured(path.read_text(encoding="utf-8")), encoding="utf-8")
