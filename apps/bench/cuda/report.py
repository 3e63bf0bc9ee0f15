"""The file of a run, the table on the terminal and the promised lines; plain Python."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SCHEMA = 1
READ_CONTENDER = "read-ceiling"
GEMM_CONTENDER = "cublas-gemm"
OWN_CONTENDER = "flashsampling"
PEERS = ("flashinfer-gumbel", "flashinfer-topk-topp", "torch-multinomial")
# Batch sizes up to which a draw is bound by memory and held against the read ceiling.
MEMORY_BOUND_BATCH = 64

Record = dict[str, object]


def percentile(samples: Sequence[float], share: float) -> float:
    """Percentile with linear interpolation between the two nearest samples."""
    ordered = sorted(samples)
    rank = share * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def make_record(
    *,
    op: str,
    case: str,
    vocab_size: int,
    hidden_size: int,
    batch_size: int,
    dtype: str,
    variant: str,
    contender: str,
    samples_us: Sequence[float],
    is_graph: bool,
    method: str,
) -> Record:
    """Makes one line of the file; bytes are those of a 16-bit weight and its hidden states, each read once."""
    rows = vocab_size if op == "read" else vocab_size + batch_size
    record: Record = {
        "op": op,
        "case": case,
        "vocabSize": vocab_size,
        "hiddenSize": hidden_size,
        "batchSize": batch_size,
        "worldSize": 1,
        "dtype": dtype,
        "variant": variant,
        "contender": contender,
        "threads": 1,
        "medianUs": round(percentile(samples_us, 0.5), 2),
        "p10Us": round(percentile(samples_us, 0.1), 2),
        "p90Us": round(percentile(samples_us, 0.9), 2),
        "samples": len(samples_us),
        "bytes": rows * hidden_size * 2,
        "graph": is_graph,
    }
    if method:
        record["method"] = method
    return record


def device_slug(device: str) -> str:
    """Folder of a device's results: `NVIDIA H100 80GB HBM3` becomes `nvidia-h100-80gb-hbm3`."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def format_report(report: dict[str, object]) -> str:
    """Writes a report as JSON, one record a line, so that two runs can be compared by lines."""
    head = {name: value for name, value in report.items() if name not in ("readRates", "records")}

    def lines(name: str) -> str:
        items = report[name]
        return ",".join(f"\n    {json.dumps(item, separators=(',', ':'))}" for item in items)  # type: ignore[union-attr]

    start = json.dumps(head, indent=2).removesuffix("\n}")
    return f'{start},\n  "readRates": [{lines("readRates")}\n  ],\n  "records": [{lines("records")}\n  ]\n}}\n'


def find(records: Iterable[Record], cell: Record, contender: str, variant: str = "plain") -> Record | None:
    """Finds a contender in the cell of a record."""
    keys = ("case", "dtype", "batchSize")
    for record in records:
        is_same_cell = all(record[key] == cell[key] for key in keys)
        if is_same_cell and record["contender"] == contender and record["variant"] == variant:
            return record
    return None


def rate(record: Record) -> float:
    """1e9 bytes per second."""
    return float(record["bytes"]) / float(record["medianUs"]) / 1e3  # type: ignore[arg-type]


def ceiling_of(records: Sequence[Record], cell: Record, fallback: float) -> float:
    """Read rate measured in the rounds of a cell, 1e9 bytes per second."""
    read = find(records, cell, READ_CONTENDER)
    return rate(read) if read is not None else fallback


def table(records: Sequence[Record], fallback: float) -> str:
    """One block for each shape and type: a line for each batch size, a column for each contender and variant.

    A column holds microseconds and the ratio to the bare product; the own one also percent of the read ceiling.
    """
    parts = []
    cells = {(record["case"], record["dtype"]): record for record in records}
    for case, dtype in cells:
        block = [record for record in records if (record["case"], record["dtype"]) == (case, dtype)]
        columns = list(dict.fromkeys((r["contender"], r["variant"]) for r in block if r["op"] == "sample"))
        names = [contender if variant == "plain" else f"+{variant}" for contender, variant in columns]
        shape = f"V={block[0]['vocabSize']} D={block[0]['hiddenSize']}"
        lines = [
            f"{case} {dtype} {shape}: us (x {GEMM_CONTENDER})",
            f"{'B':>5} {'ceiling':>8} " + " ".join(f"{short(n):>16}" for n in names),
        ]
        for size in sorted({int(record["batchSize"]) for record in block}):  # type: ignore[call-overload]
            row = [record for record in block if record["batchSize"] == size]
            gemm = find(row, row[0], GEMM_CONTENDER)
            ceiling = ceiling_of(row, row[0], fallback)
            texts = []
            for contender, variant in columns:
                record = find(row, row[0], str(contender), str(variant))
                text = "-"
                if record is not None:
                    text = f"{float(record['medianUs']):.1f}"  # type: ignore[arg-type]
                    if gemm is not None and contender != GEMM_CONTENDER:
                        text += f" x{float(record['medianUs']) / float(gemm['medianUs']):.3f}"  # type: ignore[arg-type]
                    if contender == OWN_CONTENDER and variant == "plain":
                        text += f" {100 * rate(record) / ceiling:.0f}%"
                texts.append(f"{text:>16}")
            lines.append(f"{size:>5} {ceiling:>8.0f} " + " ".join(texts))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def short(name: object) -> str:
    """A contender's name for a narrow column."""
    return str(name).replace("flashsampling", "fs").replace("flashinfer", "fi")


@dataclass
class Line:
    """A promised line and what was measured."""

    title: str
    worst: float | None  # largest ratio; None where nothing was measured
    limit: float
    where: str

    @property
    def is_ok(self) -> bool | None:
        return None if self.worst is None else self.worst <= self.limit

    def describe(self) -> str:
        state = {None: "not measured", True: "holds", False: "MISSED"}[self.is_ok]
        text = f"{state:<12} {self.title}"
        return text if self.worst is None else f"{text}: worst {self.worst:.3f} of {self.limit:.2f} at {self.where}"


def promised_lines(records: Sequence[Record], fallback: float) -> list[Line]:
    """Holds a run against what the project promises."""
    main = [
        record
        for record in records
        if record["contender"] == OWN_CONTENDER
        and record["variant"] == "plain"
        and record["case"] in ("small", "large")
        and record["dtype"] == "bf16"
        and int(record["batchSize"]) <= 256  # type: ignore[call-overload]
    ]

    def against(title: str, limit: float, peer: str) -> Line:
        pairs = [(record, find(records, record, peer)) for record in main]
        ratios = [
            (float(own["medianUs"]) / float(other["medianUs"]), name_of(own))  # type: ignore[arg-type]
            for own, other in pairs
            if other is not None
        ]
        return worst_of(title, limit, ratios)

    floor = [
        (ceiling_of(records, record, fallback) / rate(record), name_of(record))
        for record in main
        if int(record["batchSize"]) <= MEMORY_BOUND_BATCH  # type: ignore[call-overload]
    ]
    lines = [
        against("fused draw against the bare product", 1.00, GEMM_CONTENDER),
        worst_of(f"fused draw against the floor of the read rate, B <= {MEMORY_BOUND_BATCH}", 1.05, floor),
    ]
    lines += [against(f"fused draw against {peer}", 1.00, peer) for peer in PEERS]
    for variant in ("temperatures", "logprobs", "masked"):
        ratios = []
        for record in main:
            other = find(records, record, OWN_CONTENDER, variant)
            if other is not None:
                ratio = float(other["medianUs"]) / float(record["medianUs"])  # type: ignore[arg-type]
                ratios.append((ratio, name_of(record)))
        lines.append(worst_of(f"{variant} against the plain draw", 1.03, ratios))
    return lines


def worst_of(title: str, limit: float, ratios: Sequence[tuple[float, str]]) -> Line:
    """The line of the largest ratio."""
    if not ratios:
        return Line(title, None, limit, "")
    worst, where = max(ratios)
    return Line(title, worst, limit, where)


def name_of(record: Record) -> str:
    """`small/bf16/b64`."""
    return f"{record['case']}/{record['dtype']}/b{record['batchSize']}"
