"""A few small calls of every kind for compute-sanitizer, which slows kernels down a lot: see `sanitize.sh`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parents[1] / "python")]

import torch  # noqa: E402
from cases import Case, integer_case, run  # noqa: E402
from check_exact import parameter_cases  # noqa: E402
from check_invariance import run_shards  # noqa: E402
from flashsampling_cuda import device_properties, sample_from_logits  # noqa: E402
from harness import Context  # noqa: E402


def small_calls(context: Context) -> list[tuple[str, Case]]:
    """Every width of a batch tile, an odd vocabulary, a hidden size that fills no stage, every parameter."""
    calls = [
        (f"B={batch_size}", integer_case(context, batch_size, 1033, 72, seed=batch_size, vocab_start=3))
        for batch_size in (1, 8, 9, 17, 33, 65, 129, 200, 256, 257)
    ]
    calls.append(("D=1096", integer_case(context, 20, 517, 1096, seed=5)))
    calls.append(("V=17", integer_case(context, 3, 17, 8, seed=6, max_num_samples=3)))
    calls += parameter_cases(context, 5, seed=1)
    calls += parameter_cases(context, 66, seed=2)[-1:]
    return calls


def main() -> int:
    """Runs the calls; the kernels must agree, and the sanitizer reports what it finds."""
    properties = device_properties(0)
    kernels = tuple(name for name in ("sm90a", "smxx") if getattr(properties, f"serves_{name}"))
    context = Context(torch.device("cuda:0"), True, kernels)
    for name, case in small_calls(context):
        results = [run(case, kernel) for kernel in kernels]
        same = all(torch.equal(result.token_ids, results[0].token_ids) for result in results)
        context.check(name, same and not bool((results[0].token_ids == -77).any()))
    case = integer_case(context, 9, 1033, 72, seed=8, max_num_samples=2)
    for kernel in kernels:
        whole = run(case, kernel)
        context.check(f"{kernel}: three shards", torch.equal(run_shards(case, kernel, 3).token_ids, whole.token_ids))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        logits = torch.randn((11, 1033), generator=context.generator(1), device=context.device).to(dtype)
        result = sample_from_logits(logits, seed=3, logprobs=True, log_sum_exp=True, row_status=True)
        context.check(f"draws from {dtype} logits", bool((result.token_ids >= 0).all()))
    bad = dataclasses.replace(case, hidden_states=case.hidden_states.clone())
    bad.hidden_states[4] = torch.nan
    for kernel in kernels:
        context.check(f"{kernel}: a row of NaN", run(bad, kernel).row_status.tolist() == [0] * 4 + [1] + [0] * 4)
    torch.cuda.synchronize()
    print(f"{context.passed} passed, {context.failed} failed, {context.skipped} skipped")
    return 1 if context.failed > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
