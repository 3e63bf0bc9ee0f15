"""What a call moves through device memory, by Nsight Compute's counters: started by `profile_bytes.sh`.

`calls` runs one call per shape, batch size and kernel between two markers; `report` reads the counters and checks them.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

SHAPES = {"small": (151_936, 4096), "large": (128_256, 8192)}
# The contract: reads within this share of weight and hidden states, writes below this many bytes.
LARGEST_EXCESS = 0.02
LARGEST_WRITES = 1_000_000


def main(arguments: list[str] | None = None) -> int:
    """Runs one of the two halves."""
    parser = argparse.ArgumentParser(description=__doc__)
    halves = parser.add_subparsers(required=True, dest="half")
    calls = halves.add_parser("calls")
    calls.add_argument("--plan", type=Path, required=True)
    calls.add_argument("--shapes", default="small,large")
    calls.add_argument("--batches", default="1,64,256")
    calls.add_argument("--kernels", default="auto")
    report = halves.add_parser("report")
    report.add_argument("--plan", type=Path, required=True)
    report.add_argument("csv", type=Path)
    options = parser.parse_args(arguments)
    if options.half == "calls":
        run_calls(options)
        return 0
    return report_bytes(json.loads(options.plan.read_text()), options.csv.read_text())


def run_calls(options: argparse.Namespace) -> None:
    """Runs the calls inside the profiler and writes what was run."""
    sys.path[:0] = [str(FOLDER), str(FOLDER.parents[1] / "python")]
    import torch
    from flashsampling_cuda import prepare

    plan = []
    marker = torch.ones(1, device="cuda")
    for shape in options.shapes.split(","):
        vocab_size, hidden_size = SHAPES[shape]
        weight = torch.empty((vocab_size, hidden_size), dtype=torch.bfloat16, device="cuda").normal_(0, 0.05)
        for batch_size in (int(text) for text in options.batches.split(",")):
            hidden_states = torch.randn((batch_size, hidden_size), device="cuda").to(torch.bfloat16)
            for kernel in options.kernels.split(","):
                seeds = list(range(batch_size))
                prepared = prepare(hidden_states, weight, seed=seeds, temperature=0.8, position=1, kernel=kernel)
                # Loads the kernel, outside the profiled range.
                prepared.run()
                torch.cuda.synchronize()
                torch.cuda.profiler.start()
                torch.hypot(marker, marker)
                prepared.run()
                torch.cuda.synchronize()
                torch.cuda.profiler.stop()
                size = (vocab_size + batch_size) * hidden_size * 2
                name = f"{kernel}/{shape}/b{batch_size}-v{vocab_size}-d{hidden_size}"
                launches = None if kernel == "smxx" else (batch_size + 255) // 256
                plan.append({"name": name, "bytes": size, "launches": launches})
    options.plan.write_text(json.dumps(plan) + "\n")


def read_counters(text: str) -> list[dict[str, float]]:
    """Sums the counters of the launches between two markers: one dictionary for each call."""
    # The profiler's own lines stand before the table.
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith('"ID"')), len(lines))
    calls: list[dict[str, float]] = []
    marker = None
    for row in csv.DictReader(lines[start:]):
        if "hypot" in row["Kernel Name"]:
            # Every metric of the marker is a line of its own.
            if row["ID"] != marker:
                marker = row["ID"]
                calls.append({"launches": 0, "last": -1})
            continue
        call = calls[-1]
        if row["ID"] != call["last"]:
            call["last"] = row["ID"]
            call["launches"] += 1
        name = row["Metric Name"]
        call[name] = call.get(name, 0.0) + float(row["Metric Value"].replace(",", ""))
    return calls


def report_bytes(plan: list[dict[str, object]], text: str) -> int:
    """Prints a line for each call; exit code 1 where the contract does not hold."""
    calls = read_counters(text)
    if len(calls) != len(plan):
        print(f"{len(calls)} calls were profiled, {len(plan)} were made")
        return 1
    failed = 0
    for call, entry in zip(calls, plan, strict=True):
        read, written = call.get("dram__bytes_read.sum", 0.0), call.get("dram__bytes_write.sum", 0.0)
        excess = read / float(entry["bytes"]) - 1
        # One launch for every 256 rows; the portable kernel has narrower tiles.
        is_ok = (
            abs(excess) <= LARGEST_EXCESS and written < LARGEST_WRITES and entry["launches"] in (None, call["launches"])
        )
        failed += not is_ok
        print(
            f"{'ok  ' if is_ok else 'FAIL'} {entry['name']}: {read / 1e6:.1f} MB read ({100 * excess:+.2f} % of weight "
            f"and hidden states), {written / 1e6:.3f} MB written, {call['launches']} launches, "
            f"{call.get('gpu__time_duration.sum', 0.0) / 1e3:.1f} us under the profiler"
        )
    print(f"{len(plan) - failed} passed, {failed} failed")
    return 1 if failed > 0 or not plan else 0


if __name__ == "__main__":
    sys.exit(main())
