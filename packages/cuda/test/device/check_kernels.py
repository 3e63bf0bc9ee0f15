"""Checks the CUDA kernels on a GPU: `python3 packages/cuda/test/device/check_kernels.py [--quick] [sections]`.

Prints a line for each check and, last, `N passed, N failed, N skipped`; the exit code is 1 after a failure.
The library is `packages/cuda/prebuilds/<platform>/libflashsampling.so` or what `FLASHSAMPLING_NATIVE_PATH` names.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parents[1] / "python")]

import torch  # noqa: E402
from check_distribution import check_distribution  # noqa: E402
from check_edges import check_edges  # noqa: E402
from check_errors import check_errors  # noqa: E402
from check_exact import check_exact, check_fixtures  # noqa: E402
from check_invariance import check_invariance  # noqa: E402
from check_memory import check_memory  # noqa: E402
from check_random import check_random  # noqa: E402
from flashsampling_cuda import device_properties, library_path, version  # noqa: E402
from harness import Context  # noqa: E402

SECTIONS = {
    "fixtures": check_fixtures,
    "exact": check_exact,
    "edges": check_edges,
    "errors": check_errors,
    "memory": check_memory,
    "invariance": check_invariance,
    "random": check_random,
    "distribution": check_distribution,
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the chosen sections."""
    parser = argparse.ArgumentParser(description="Checks the CUDA kernels on a GPU.")
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"one or more of {', '.join(SECTIONS)}; default all"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows and draws: a minute instead of several")
    parser.add_argument("--kernels", help="names separated by commas; default all that the GPU serves")
    parser.add_argument("--device", default="cuda:0", help="the GPU (default %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for check-kernels.json")
    options = parser.parse_args(arguments)
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}")

    device = torch.device(options.device)
    properties = device_properties(device.index or 0)
    served = [name for name in ("sm90a", "smxx") if getattr(properties, f"serves_{name}")]
    kernels = tuple(options.kernels.split(",")) if options.kernels else tuple(served)
    if not set(kernels) <= set(served):
        parser.error(f"this GPU serves {', '.join(served) or 'no kernel'}: --kernels asks for {options.kernels}")
    torch.backends.cuda.matmul.allow_tf32 = False
    context = Context(device, options.quick, kernels)
    about = {
        "device": properties.name.decode(),
        "library": version(),
        "path": str(library_path()),
        "torch": torch.__version__,
        "quick": options.quick,
        "kernels": kernels,
    }
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    started = time.monotonic()
    for name, function in SECTIONS.items():
        if not options.sections or name in options.sections:
            context.run_section(name, function)
    if options.out is not None:
        context.write(options.out, about)
    # Again at the end: a long log may have lost its beginning.
    for line in context.lines:
        if line["state"] == "FAIL":
            print(f"FAIL {line['section']}: {line['name']} — {line['detail']}")
    print(f"{time.monotonic() - started:.1f} s")
    print(f"{context.passed} passed, {context.failed} failed, {context.skipped} skipped")
    return 1 if context.failed > 0 or context.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
