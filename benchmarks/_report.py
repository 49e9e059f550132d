"""What was measured, as tables, as a picture, and as the list of what was promised with its figures.

Over 400 lines because the tables, the picture and the promises read one report and must agree on its keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _machine import gemm_rate, peak_rate
from _peers import dtype_of, geometric_mean

Row = dict[str, Any]
FAMILY = {"elman_tanh": "Elman", "lstm": "LSTM", "gru_after": "GRU", "gru_before": "GRU"}


@dataclass(frozen=True)
class Promise:
    """A line of the closing list. `found` None: not measured, `note` says why.

    `limit`: what `found` would be in the least time: products at the full rate of the machine's instructions and the
    cell's sigmoids and tanhs, or the weights read once.
    """

    what: str
    wanted: float
    found: float | None
    is_at_most: bool = False
    note: str = ""
    limit: float | None = None
    form: str = ".2f"

    @property
    def is_kept(self) -> bool | None:
        if self.found is None:
            return None
        return self.found <= self.wanted if self.is_at_most else self.found >= self.wanted


# ---- what was promised ----------------------------------------------------------------------------------------------


def promises(report: Row) -> list[Promise]:
    """Every promise of the sections that were run."""
    return [promise for section, list_them in PROMISES.items() if section in report for promise in list_them(report)]


def _layer_promises(report: Row) -> Iterable[Promise]:
    layers = report["layers"]
    train = [r for r in layers if r["mode"] == "train" and not r["is_ragged"]]
    for dtype in ("fp32", "bf16"):
        yield _least(f"any cell, any shape, fwd+bwd, {dtype} against the best {dtype} peer", 1, train, dtype)
    wide = [r for r in train if r["shape"][0] >= 20]
    for cell, fp32, bf16 in (
        ("lstm", 1.6, 2.5),
        ("gru_after", 2.0, 4.5),
        ("gru_before", 2.0, 4.5),
        ("elman_tanh", 1.5, 2.5),
    ):
        mine = [r for r in wide if r["cell"] == cell]
        if mine:
            yield _mean(f"fp32 fwd+bwd against the best fp32 peer, {cell}", fp32, mine, "fp32")
            yield _mean(f"bf16 fwd+bwd against the best peer of any dtype, {cell}", bf16, mine, "bf16_any")
    yield _least("bf16 fwd+bwd against the best peer of any dtype, every shape with B >= 20", 1.3, wide, "bf16_any")
    forward = [r for r in layers if r["mode"] == "forward" and not r["is_ragged"] and r["shape"][0] >= 20]
    yield _mean(
        "fp32 LSTM forward against the best fp32 peer", 1.3, [r for r in forward if r["cell"] == "lstm"], "fp32"
    )
    for cell in dict.fromkeys(r["cell"] for r in forward if r["cell"] != "lstm"):
        yield _mean(
            f"fp32 {cell} forward against the best fp32 peer", 1, [r for r in forward if r["cell"] == cell], "fp32"
        )
    yield _share_of_gemm(layers, report["machine"])
    single = [r for r in train if r["shape"][0] == 1]
    for cell in dict.fromkeys(r["cell"] for r in single):
        mine = [r for r in single if r["cell"] == cell]
        yield _mean(f"B = 1 fwd+bwd against the best peer, {cell}", 2, mine, "any")
    ragged = [r for r in layers if r["is_ragged"] and r["mode"] == "train" and r["cell"] != "gru_before"]
    for cell in dict.fromkeys(r["cell"] for r in ragged):
        mine = [r for r in ragged if r["cell"] == cell]
        yield _mean(f"ragged fwd+bwd against PackedSequence, {cell}", 5, mine, "any")


def _share_of_gemm(layers: list[Row], machine: Row) -> Promise:
    what = "bf16 LSTM (64, 100, 1024, 1024) fwd+bwd as a share of the bf16 GEMM rate beside it"
    for row in layers:
        if row["cell"] == "lstm" and row["mode"] == "train" and row["shape"] == [64, 100, 1024, 1024]:
            shares = [share for name, share in row["share_of_gemm_rate"].items() if dtype_of(name) == "bf16"]
            has_amx = machine["per_core"].get("amx_gflops", 0) > 0
            note = "" if has_amx else "no AMX here: of the AVX-512-BF16 rate" if shares else ""
            return Promise(what, 0.25, max(shares, default=None), note=note)
    return Promise(what, 0.25, None, note="not measured")


def _stream_promises(report: Row) -> Iterable[Promise]:
    step_wanted = {"bf16": {128: 5, 512: 3.5, 1024: 3}, "int8": {128: 5, 512: 6, 1024: 5}}
    for row in report["streams"]:
        if row["what"] == "step":
            for dtype, wanted in step_wanted.items():
                if row["cell"] in ("lstm", "gru_after") and row["H"] in wanted:
                    name = f"rnnkit {dtype}"
                    note = row["left_out"].get(name, row["refused"].get(name, ""))
                    what = f"one step of {row['cell']}, H = {row['H']}, {dtype} weights, against ONNX Runtime"
                    found = row["over_onnxruntime"].get(name)
                    yield Promise(what, wanted[row["H"]], found, note=note, limit=_read_limit(row, name))
        else:
            ratios = row["over_onnxruntime"]
            best = max(ratios, key=ratios.__getitem__, default=None)
            what = f"sampling 65 symbols, {row['num_layers']} x {row['H']}, against an ONNX Runtime loop"
            wanted = {1: 15.0, 2: 6.0}[row["num_layers"]]
            limit = _read_limit(row, best) if best else None
            yield Promise(what, wanted, ratios[best] if best else None, note=best or "not measured", limit=limit)


def _read_limit(row: Row, name: str) -> float | None:
    found, share = row["over_onnxruntime"].get(name), row["share_of_read_rate"].get(name)
    return found / share if found and share else None


def _option_promises(report: Row) -> Iterable[Promise]:
    for row in report["options"]:
        wanted = 1.6 if dtype_of(row["process"]) == "bf16" else 1.3
        what = f"{row['option']} over the plain {row['cell']}, {row['process']}"
        yield Promise(what, wanted, row["over_plain"], is_at_most=True, note=row["missing"] or "")


def _last_step_promises(report: Row) -> Iterable[Promise]:
    for process, ratio in report["last_step"].items():
        what = f"T = 1000, H = 64, loss at the last step only, over loss at every step, {process}"
        yield Promise(what, 1.1, ratio, is_at_most=True)


def _head_promises(report: Row) -> Iterable[Promise]:
    for row in report["heads"]:
        if row["vocab_size"] == 33_278:
            ratio = row["over"].get("rnnkit", {}).get("torch")
            yield Promise("linear + cross-entropy, 700 rows, 650, 33,278 words, against torch", 1.5, ratio)


def _busy_promises(report: Row) -> Iterable[Promise]:
    for dtype in ("fp32", "bf16"):
        ratios = {f"{r['cell']} {r['shape']}": r["over_torch"].get(dtype) for r in report["busy"]}
        offered = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        worst = min(offered, key=offered.__getitem__, default=None)
        note = f"the worst of {len(offered)}: {worst}" if worst else "not measured"
        what = f"beside a busy process, fwd+bwd, {dtype} against torch"
        yield Promise(what, 1.0, offered[worst] if worst else None, note=note)


PROMISES = {
    "layers": _layer_promises,
    "streams": _stream_promises,
    "options": _option_promises,
    "last_step": _last_step_promises,
    "heads": _head_promises,
    "busy": _busy_promises,
}


def _mean(what: str, wanted: float, rows: list[Row], kind: str) -> Promise:
    offered = [r for r in rows if r[kind]]
    if not offered:
        return Promise(what, wanted, None, note=_why_not(rows, kind))
    worst = min(offered, key=lambda r: r[kind]["ratio"])
    note = f"{worst[kind]['ratio']:.2f} at {tuple(worst['shape'])} beside {worst[kind]['peer']} is the least"
    if len(offered) < len(rows):
        note += f"; {len(rows) - len(offered)} of {len(rows)} shapes are missing"
    limits = [r[kind]["limit"] for r in offered if "limit" in r[kind]]
    limit = geometric_mean(limits) if len(limits) == len(offered) else None
    return Promise(what, wanted, geometric_mean(r[kind]["ratio"] for r in offered), note=note, limit=limit)


def _least(what: str, wanted: float, rows: list[Row], kind: str) -> Promise:
    offered = [r for r in rows if r[kind]]
    if not offered:
        return Promise(what, wanted, None, note=_why_not(rows, kind))
    worst = min(offered, key=lambda r: r[kind]["ratio"])
    short = sum(r[kind]["ratio"] < wanted for r in offered)
    where = f"{worst['cell']} {tuple(worst['shape'])} beside {worst[kind]['peer']}"
    note = f"{where}; {short} of {len(offered)} below"
    return Promise(what, wanted, worst[kind]["ratio"], note=note, limit=worst[kind].get("limit"))


def _why_not(rows: list[Row], kind: str) -> str:
    ours = "rnnkit bf16" if kind.startswith("bf16") else "rnnkit"
    reasons = [r["refused"].get(ours) or r["left_out"].get(ours) for r in rows]
    return next((reason for reason in reasons if reason), "not measured")


# ---- tables ---------------------------------------------------------------------------------------------------------


def to_markdown(report: Row) -> str:
    lines = ["# rnnkit beside its peers", "", *_machine_lines(report["machine"]), ""]
    lines += _layer_table(report.get("layers", []))
    lines += _stream_table(report.get("streams", []))
    lines += _other_tables(report)
    lines += _promise_table(promises(report))
    return "\n".join(lines) + "\n"


def _machine_lines(machine: Row) -> Iterable[str]:
    yield f"{machine['cpu']}, {machine['threads']} threads, instruction set {machine['isa']}, {machine['date']}."
    yield f"Counted: {machine['clock']}. Load average before the run: {machine['load']:.1f}."
    core = machine["per_core"]
    if "not_measured" in core:
        yield f"Instruction rates: {core['not_measured']}"
    else:
        kinds = {"fp32_gflops": "fp32 FMA", "bf16_gflops": "AVX-512-BF16", "amx_gflops": "AMX bf16"}
        yield "Instructions, GF/s per core: " + ", ".join(f"{said} {core[k]}" for k, said in kinds.items() if core[k])
        reads = ", ".join(f"{size} KB {rate}" for size, rate in core["read_gb_per_s"].items())
        yield f"Values per µs and core: sigmoid {core['sigmoid_per_us']}, tanh {core['tanh_per_us']}"
        yield f"Reading, GB/s per core by working set: {reads}"
    rates = ", ".join(f"{name} {rate}" for name, rate in machine["gemm_gflops"].items())
    yield f"Square product of 2048, GF/s: {rates}"
    for dtype in ("fp32", "bf16"):
        rate, peak = gemm_rate(machine, dtype), peak_rate(machine, dtype)
        share = f", {rate / peak:.0%} of the instructions' rate" if peak else ""
        yield f"Share of the {dtype} rate below is of {1e-9 * rate:.0f} GF/s, the fastest of these{share}."


def _layer_table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    head = ["cell", "mode", "B, T, I, H", "fp32 ms", "best fp32 peer", "ratio", "of fp32 rate"]
    head += ["bf16 ms", "best bf16 peer", "ratio", "best of any dtype", "ratio", "of bf16 rate"]
    lines = ["## Layers", "", *_head(head, text=3)]
    for r in rows:
        cells = [r["cell"], r["mode"], ", ".join(map(str, r["shape"])) + (" ragged" if r["is_ragged"] else "")]
        for dtype, kinds in (("fp32", ["fp32"]), ("bf16", ["bf16", "bf16_any"])):
            ours = next((r[k]["ours"] for k in kinds if r[k]), "rnnkit" if dtype == "fp32" else "rnnkit bf16")
            cells.append(_ms(r["ms"].get(ours)) + (" (split)" if "split" in ours else ""))
            for kind in kinds:
                cells += (
                    [f"{r[kind]['peer']} {_ms(r['ms'][r[kind]['peer']])}", f"{r[kind]['ratio']:.2f}"]
                    if r[kind]
                    else ["", ""]
                )
            share = r["share_of_gemm_rate"].get(ours)
            cells.append("" if share is None else f"{share:.0%}")
        lines.append(_line(cells))
    refused = [f"- {_where(r)}: {name}: {why}" for r in rows for name, why in r["refused"].items()]
    if refused:
        lines += ["", "Not timed, since parity failed:", "", *refused]
    return [*lines, ""]


def _stream_table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    names = list(dict.fromkeys(name for r in rows for name in r["us"]))
    lines = [
        "## One step, and sampling",
        "",
        "µs of a step or a token; in brackets over ONNX Runtime, and the share of the read rate.",
        "",
    ]
    lines += _head(["what", *names], text=1)
    for r in rows:
        what = f"{r['cell']} step, H = {r['H']}" if r["what"] == "step" else f"sampling, {r['num_layers']} x {r['H']}"
        cells = [what]
        for name in names:
            said = "" if name not in r["us"] else f"{r['us'][name]:.1f}"
            if name in r["over_onnxruntime"]:
                said += f" ({r['over_onnxruntime'][name]:.1f}x"
                share = r.get("share_of_read_rate", {}).get(name)
                said += ")" if share is None else f", {share:.0%})"
            cells.append(said)
        lines.append(_line(cells))
    return [*lines, ""]


def _other_tables(report: Row) -> list[str]:
    lines = []
    if rows := report.get("options"):
        lines += [
            "## Options over the plain cell, forward + backward",
            "",
            *_head(["option", "cell", "precision", "times"], text=3),
        ]
        for r in rows:
            said = f"{r['over_plain']:.2f}" if r["over_plain"] else f"missing: {_short(r['missing'])}"
            lines.append(_line([r["option"], r["cell"], r["process"], said]))
        lines.append("")
    if rows := report.get("heads"):
        names = list(dict.fromkeys(name for r in rows for name in r["ms"]))
        lines += [
            "## Linear + cross-entropy, forward + backward, ms",
            "",
            *_head(["rows, inputs, words", *names], text=1),
        ]
        for r in rows:
            lines.append(
                _line([f"{r['rows']}, {r['inputs']}, {r['vocab_size']}", *(_ms(r["ms"].get(name)) for name in names)])
            )
        lines.append("")
    if rows := report.get("busy"):
        lines += [
            "## Beside a busy process, times faster than torch",
            "",
            *_head(["cell", "B, T, I, H", "fp32", "bf16"], text=2),
        ]
        for r in rows:
            ratios = (f"{r['over_torch'][d]:.2f}" if d in r["over_torch"] else "" for d in ("fp32", "bf16"))
            lines.append(_line([r["cell"], ", ".join(map(str, r["shape"])), *ratios]))
        lines.append("")
    return lines


def _promise_table(found: list[Promise]) -> list[str]:
    lines = [
        "## What must be shown",
        "",
        "Limit: the figure of the least time: products at the full rate of this machine's instructions and the cell's",
        "sigmoids and tanhs at ours, or the weights read once.",
        "",
        *_head(["what", "wanted", "found", "limit", "", "note"], text=1),
    ]
    for p in found:
        verdict = {True: "reached", False: "NOT reached", None: "missing"}[p.is_kept]
        wanted = f"{'at most' if p.is_at_most else 'at least'} {p.wanted:g}"
        found, limit = ("" if value is None else format(value, p.form) for value in (p.found, p.limit))
        lines.append(_line([p.what, wanted, found, limit, verdict, _short(p.note)]))
    return lines


def _head(cells: list[str], *, text: int) -> list[str]:
    return [_line(cells), _line(["---"] * text + ["---:"] * (len(cells) - text))]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _short(text: str) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= 110 else line[:107] + "..."


def _where(row: Row) -> str:
    return f"{row['cell']} {row['mode']} {tuple(row['shape'])}" + (" ragged" if row["is_ragged"] else "")


# ---- picture --------------------------------------------------------------------------------------------------------

COLOURS = {"lstm": "#0b5394", "gru_after": "#b45f06", "gru_before": "#e69138", "elman_tanh": "#38761d"}
COLOURS |= {"lstm_projected": "#674ea7"}
MARKS = {"lstm": "o", "gru_after": "s", "gru_before": "D", "elman_tanh": "^", "lstm_projected": "v"}


def draw(report: Row, path: Path) -> None:
    """Ratios by shape and cell, fp32 and bf16, forward and backward; and time against length."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    layers, lengths = report.get("layers", []), report.get("lengths", [])
    figure, panels = pyplot.subplots(2, 3, figsize=(16, 9), facecolor="white", layout="constrained")
    titles = {"train": "forward + backward", "forward": "forward"}
    for line, (kind, peer) in enumerate((("fp32", "the best fp32 peer"), ("bf16_any", "the best peer of any dtype"))):
        for column, mode in enumerate(titles):
            rows = [r for r in layers if r["mode"] == mode and not r["is_ragged"]]
            ours = "fp32" if kind == "fp32" else "bf16"
            _draw_ratios(panels[line][column], rows, kind, f"rnnkit {ours} against {peer}: {titles[mode]}")
    by_dtype = (("fp32", "rnnkit"), ("bf16", "rnnkit bf16"))
    for line, (dtype, process) in enumerate(by_dtype):
        _draw_lengths(panels[line][2], [r for r in lengths if r["process"] == process], dtype)
    machine = report["machine"]
    figure.suptitle(
        f"{machine['cpu']}, {machine['threads']} threads, {machine['isa']}, {machine['clock']}, {machine['date']}",
        fontsize=11,
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_ratios(panel: Any, rows: list[Row], kind: str, title: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    shapes = list(dict.fromkeys(tuple(r["shape"]) for r in rows))
    cells = list(dict.fromkeys(r["cell"] for r in rows))
    for number, cell in enumerate(cells):
        mine = [r for r in rows if r["cell"] == cell and r[kind]]
        at = [shapes.index(tuple(r["shape"])) + 0.16 * (number - (len(cells) - 1) / 2) for r in mine]
        ratios = [r[kind]["ratio"] for r in mine]
        panel.vlines(at, 1, ratios, color=COLOURS[cell], linewidth=1.5)
        panel.plot(at, ratios, MARKS[cell], color=COLOURS[cell], markersize=6, label=cell)
    panel.axhline(1, color="black", linewidth=1)
    panel.set_title(title, fontsize=10)
    panel.set_yscale("log", base=2)
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_xticks(
        range(len(shapes)), [", ".join(map(str, shape)) for shape in shapes], rotation=40, ha="right", fontsize=8
    )
    panel.set_ylabel("times faster; 1 is parity")
    panel.grid(axis="y", color="0.85")
    panel.set_axisbelow(True)
    if rows and any(r[kind] for r in rows):
        panel.set_ylim(top=panel.get_ylim()[1] * 1.25)  # room for the legend above the points
        panel.legend(fontsize=8, frameon=False, loc="upper center", ncols=len(cells))
    else:
        panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center")


def _draw_lengths(panel: Any, rows: list[Row], dtype: str) -> None:
    names = list(dict.fromkeys(cell for r in rows for cell in r["ms"]))
    for cell, mark, colour in zip(names, "os^Dv", ("#0b5394", "#b45f06", "#38761d", "#741b47", "0.3"), strict=False):
        mine = [(r["T"], r["ms"][cell]) for r in rows if cell in r["ms"]]
        panel.plot(*zip(*mine, strict=True), marker=mark, color=colour, label=cell, linewidth=1.5, markersize=5)
    panel.set_title(f"{dtype}, forward + backward, B = 1, I = H = 256", fontsize=10)
    panel.set(xscale="log", yscale="log", xlabel="T, steps", ylabel="ms")
    panel.grid(color="0.85")
    if names:
        panel.legend(fontsize=8, frameon=False)
    else:
        panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center")
