"""Times the fused CUDA draw against its peers: `python3 apps/bench/cuda/bench.py --out apps/bench/results`.

All contenders run in one process on one card and take turns; docs/benchmarking.md describes the method.
Writes `<out>/<device>/<date>-<commit>.json`, and prints a table and the promised lines.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[2]
sys.path[:0] = [str(FOLDER), str(ROOT / "packages" / "cuda" / "python")]

import report  # noqa: E402
import torch  # noqa: E402
from contenders import CONTENDERS, POISON, Cell, Entry, Unavailable  # noqa: E402
from flashsampling_cuda import device_properties, version  # noqa: E402
from plan import BATCH_SIZES, DTYPES, SHAPES, VARIANTS, PlannedCell, full_plan, narrow, quick_plan  # noqa: E402
from read_ceiling import ReadCeiling, ReadCeilingUnavailable  # noqa: E402
from timing import Timed, time_in_turns  # noqa: E402

TORCH_DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16}
# Two copies of the head: what a call leaves in the cache never serves the next one.
NUM_WEIGHTS = 2
# Calls of one sample, each with hidden states and a position of its own.
NUM_CALLS = 4


class Heads:
    """The weights of one shape and type; another one replaces them."""

    def __init__(self) -> None:
        self._key: tuple[str, str] | None = None
        self._weights: list[torch.Tensor] = []

    def get(self, shape: str, dtype: str) -> list[torch.Tensor]:
        if self._key != (shape, dtype):
            self._weights.clear()
            torch.cuda.empty_cache()
            generator = torch.Generator("cuda").manual_seed(1)
            vocab_size, hidden_size = SHAPES[shape]
            for _ in range(NUM_WEIGHTS):
                weight = torch.empty((vocab_size, hidden_size), dtype=TORCH_DTYPES[dtype], device="cuda")
                self._weights.append(weight.normal_(0.0, 3.0 / hidden_size**0.5, generator=generator))
            self._key = (shape, dtype)
        return self._weights


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark."""
    options = parse_options(arguments)
    plan = quick_plan() if options.quick else full_plan()
    plan = narrow(
        plan,
        shapes=options.shapes,
        dtypes=options.dtypes,
        batch_sizes=options.batches,
        contenders=options.contenders,
        variants=options.variants,
    )
    # A part of the plan is not what tables are made of, unless it is said to be.
    is_quick = options.quick or (plan != full_plan() and not options.publish)
    torch.backends.cuda.matmul.allow_tf32 = False
    started = time.monotonic()
    load_before = os.getloadavg()[0]
    clocks_before = read_clocks()
    ceiling, rates = measure_ceiling(options)
    best_rate = max((float(entry["gigabytesPerSecond"]) for entry in rates), default=0.0)
    method = rates.index(max(rates, key=lambda entry: entry["gigabytesPerSecond"])) if rates else 0
    print(
        f"{torch.cuda.get_device_name()}: {best_rate:.0f} GB/s by plain reads, {time.monotonic() - started:.0f} s",
        flush=True,
    )

    heads = Heads()
    reasons: dict[str, str] = {}
    records: list[report.Record] = []
    for number, cell in enumerate(plan):
        read_method = None if ceiling is None else ceiling.methods.index(str(rates[method]["method"]))
        try:
            found = run_cell(cell, heads, ceiling, read_method, options, reasons)
        except Exception as error:
            # After a fault of the device nothing more can run; what was timed before it is written.
            traceback.print_exc()
            reasons[f"{cell.shape} {cell.dtype} B={cell.batch_size} and later cells"] = (
                f"{type(error).__name__}: {error}"
            )
            is_quick = True
            break
        records += found
        summary = " ".join(describe(record) for record in found)
        elapsed = f"[{number + 1}/{len(plan)} {time.monotonic() - started:.0f} s]"
        print(f"{elapsed} {cell.shape} {cell.dtype} B={cell.batch_size}: {summary}", flush=True)
        if options.limit_seconds and time.monotonic() - started > options.limit_seconds:
            is_quick = is_quick or number + 1 < len(plan)
            print(
                f"stopped after {options.limit_seconds:.0f} s: {len(plan) - number - 1} cells are missing", flush=True
            )
            break

    if not records:
        print("nothing was timed")
        return 1
    if best_rate == 0.0:
        # Without plain reads the best product stands in, so that shares are not too low.
        best_rate = max(report.rate(record) for record in records)
    content = {
        "schema": report.SCHEMA,
        "backend": "cuda",
        "device": torch.cuda.get_device_name(),
        "driver": driver_version(),
        "versions": versions(),
        "commit": options.commit or read_commit(),
        "takenAt": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "readCeilingGBs": round(best_rate, 1),
        "processors": len(os.sched_getaffinity(0)),
        "loadAverage": {"before": round(load_before, 2), "after": round(os.getloadavg()[0], 2)},
        "clocks": {"before": clocks_before, "after": read_clocks()},
        "quick": is_quick,
        "leftOut": reasons,
        "readRates": rates,
        "records": records,
    }
    path = write(content, options.out)
    print()
    print(report.table(records, best_rate))
    for name, reason in reasons.items():
        print(f"left out: {name}: {reason}")
    for line in report.promised_lines(records, best_rate):
        print(line.describe())
    print(f"{path}, {len(records)} records, {time.monotonic() - started:.0f} s")
    return 1 if any(name.endswith("later cells") for name in reasons) else 0


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Times the fused CUDA draw against its peers.")
    parser.add_argument("--out", type=Path, default=ROOT / "apps" / "bench" / "results", help="folder of the results")
    parser.add_argument("--quick", action="store_true", help="fused draw and bare product, two shapes; not to publish")
    parser.add_argument("--publish", action="store_true", help="make tables of this run although it is a part")
    parser.add_argument("--shapes", type=names(SHAPES), default=(), help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--dtypes", type=names(DTYPES), default=(), help=f"of {', '.join(DTYPES)}")
    parser.add_argument("--batches", type=numbers, default=(), help=f"batch sizes, for example {BATCH_SIZES[0]},64")
    parser.add_argument("--contenders", type=names(CONTENDERS), default=(), help=f"of {', '.join(CONTENDERS)}")
    parser.add_argument("--variants", type=names(VARIANTS), default=(), help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--seconds", type=float, help="device time for each contender in a cell (0.15; quick: 0.06)")
    parser.add_argument(
        "--warm-up", type=float, default=0.1, help="seconds before the first sample (default %(default)s)"
    )
    parser.add_argument(
        "--samples", type=int, default=12, help="samples of each contender at least (default %(default)s)"
    )
    parser.add_argument("--no-read-ceiling", action="store_true", help="skip the plain reads")
    parser.add_argument("--limit-seconds", type=float, default=0, help="start no cell after so many seconds")
    parser.add_argument("--commit", default="", help="commit that is measured, where there is no git")
    options = parser.parse_args(arguments)
    if options.seconds is None:
        options.seconds = 0.06 if options.quick else 0.15
    return options


def describe(record: report.Record) -> str:
    """A record in the line of its cell."""
    variant = "" if record["variant"] == "plain" else f"+{record['variant']}"
    return f"{report.short(record['contender'])}{variant} {record['medianUs']:.1f}"


def names(known: object):
    """Type of an option that lists known names."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        for name in chosen:
            if name not in known:  # type: ignore[operator]
                raise argparse.ArgumentTypeError(f"unknown name {name!r}")
        return chosen

    return parse


def numbers(text: str) -> tuple[int, ...]:
    """Type of an option that lists numbers."""
    return tuple(int(part) for part in text.split(","))


def measure_ceiling(options: argparse.Namespace) -> tuple[ReadCeiling | None, list[report.Record]]:
    """Reads two copies of the large head by every method."""
    if options.no_read_ceiling:
        return None, []
    try:
        ceiling = ReadCeiling()
    except ReadCeilingUnavailable as error:
        print(f"no read ceiling: {error}", flush=True)
        return None, []
    vocab_size, hidden_size = SHAPES["large"]
    copies = [torch.empty((vocab_size, hidden_size), dtype=torch.bfloat16, device="cuda").normal_() for _ in range(2)]
    contenders = []
    for method, name in enumerate(ceiling.methods):
        timed = Timed(name, [partial(ceiling.run, method, data) for data in copies])
        try:
            reason = timed.capture()
        except ReadCeilingUnavailable as error:
            reason = str(error)
        if reason:
            print(f"read {name}: {reason}", flush=True)
        else:
            contenders.append(timed)
    time_in_turns(contenders, seconds=0.05, warm_up_seconds=0.3, least_samples=20)
    size = vocab_size * hidden_size * 2
    rates: list[report.Record] = []
    for timed in contenders:
        median = report.percentile(timed.samples_us, 0.5)
        gigabytes = round(size / median / 1e3, 1)
        rates.append(
            {"method": timed.name, "threads": 1, "gigabytesPerSecond": gigabytes, "samples": len(timed.samples_us)}
        )
    print(" ".join(f"{entry['method']} {entry['gigabytesPerSecond']}" for entry in rates), flush=True)
    return ceiling, rates


def run_cell(
    planned: PlannedCell,
    heads: Heads,
    ceiling: ReadCeiling | None,
    read_method: int | None,
    options: argparse.Namespace,
    reasons: dict[str, str],
) -> list[report.Record]:
    """Times everything of a cell in turns."""
    cell = make_cell(planned, heads)
    contenders: list[tuple[str, str, str, Timed]] = []
    for name, variant in planned.entries():
        if name in reasons and reasons[name].startswith("unavailable"):
            continue
        try:
            entry = CONTENDERS[name](cell, variant) if name == "flashsampling" else CONTENDERS[name](cell)
            timed = Timed(name, entry.calls)
            if not entry.waits_for_host:
                reason = timed.capture()
                if reason:
                    reasons[f"graph of {name}"] = reason
            check_tokens(entry, cell.vocab_size)
        except Unavailable as error:
            reasons[name] = f"unavailable: {error}"
            continue
        except Exception as error:
            text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            if name in report.PEERS:
                # A peer that cannot be built fails in every cell, each time after a minute.
                reasons[name] = f"unavailable: {text}"
            else:
                reasons[f"{name} {variant} {planned.shape} B={planned.batch_size}"] = text
            continue
        contenders.append((name, variant, entry.method, timed))
    if ceiling is not None and read_method is not None:
        calls = [partial(ceiling.run, read_method, cell.weight(call)) for call in range(NUM_CALLS)]
        timed = Timed(report.READ_CONTENDER, calls)
        timed.capture()
        contenders.append((report.READ_CONTENDER, "plain", ceiling.methods[read_method], timed))
    if not contenders:
        return []
    time_in_turns(
        [timed for *_, timed in contenders],
        seconds=options.seconds,
        warm_up_seconds=options.warm_up,
        least_samples=options.samples,
    )
    return [
        report.make_record(
            op="read" if name == report.READ_CONTENDER else "sample",
            case=planned.shape,
            vocab_size=cell.vocab_size,
            hidden_size=cell.hidden_size,
            batch_size=cell.batch_size,
            dtype=planned.dtype,
            variant=variant,
            contender=name,
            samples_us=timed.samples_us,
            is_graph=timed.is_graph,
            method=method,
        )
        for name, variant, method, timed in contenders
    ]


def make_cell(planned: PlannedCell, heads: Heads) -> Cell:
    """Makes the inputs of a cell on the device; the logits are poisoned."""
    weights = heads.get(planned.shape, planned.dtype)
    vocab_size, hidden_size = SHAPES[planned.shape]
    dtype = TORCH_DTYPES[planned.dtype]
    generator = torch.Generator("cuda").manual_seed(planned.batch_size)
    shape = (planned.batch_size, hidden_size)
    states = [torch.randn(shape, generator=generator, device="cuda").to(dtype) for _ in range(NUM_CALLS)]
    logits = torch.full((planned.batch_size, vocab_size), torch.nan, dtype=dtype, device="cuda")
    return Cell(vocab_size, hidden_size, planned.batch_size, dtype, weights, states, logits)


def check_tokens(entry: Entry, vocab_size: int) -> None:
    """Raises where a contender left an output unwritten or wrote something that is no token."""
    torch.cuda.synchronize()
    for token_ids in entry.token_ids:
        if not bool(((token_ids >= 0) & (token_ids < vocab_size)).all()):
            value = int(token_ids.min())
            raise RuntimeError("an output was not written" if value == POISON else f"token id {value} was drawn")


def write(content: dict[str, object], out: Path) -> Path:
    """Writes the file of a run."""
    folder = out / report.device_slug(str(content["device"]))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{str(content['takenAt'])[:10]}-{content['commit']}.json"
    path.write_text(report.format_report(content))
    return path


def versions() -> dict[str, str]:
    """Versions of what took part."""
    found = {
        "flashsampling": version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "cudaDriver": str(device_properties(0).driver_version),
    }
    for package in ("triton", "flashinfer-python", "nvidia-cublas"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def driver_version() -> str:
    """Version of the NVIDIA driver."""
    return query_card("driver_version") or f"CUDA {device_properties(0).driver_version}"


def read_clocks() -> str:
    """Clocks, power and temperature of the card, as it is found; nothing is set."""
    return query_card("clocks.sm,clocks.mem,power.draw,temperature.gpu")


def query_card(fields: str) -> str:
    """Asks nvidia-smi; "" where there is none."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def read_commit() -> str:
    """Commit of the repository, with `-dirty` where sources differ from it; `unknown` outside of one."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        # Results and texts may change without a difference to what was measured.
        changes = git("status", "--porcelain", "--", "packages/cuda", "apps/bench/cuda")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return commit if changes == "" else f"{commit}-dirty"


if __name__ == "__main__":
    sys.exit(main())
