"""List the recipes without a committed result, or with one whose inputs have changed: `make recipes-stale`."""

from __future__ import annotations

import json
from pathlib import Path

import _dependencies

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    for script in sorted((ROOT / "recipes").glob("[!_]*.py")):
        if script == Path(__file__).resolve():
            continue
        name = script.stem.replace("_", "-")
        path = ROOT / "recipes" / "results" / f"{script.stem}.json"
        if not path.exists():
            print(f"{name}: never run; make recipe NAME={name}")
            continue
        changed = _dependencies.changed(ROOT, json.loads(path.read_text(encoding="utf-8"))["files"])
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            print(f"{name}: {', '.join(changed[:3])}{more} changed; make recipe NAME={name}")


if __name__ == "__main__":
    main()
