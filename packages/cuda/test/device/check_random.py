"""Real inputs: tokens equal the float64 oracle wherever its margin exceeds the stated bound; the rest is counted."""

from __future__ import annotations

import dataclasses

import torch
from cases import Comparison, compare, normal_weight, oracle_draws, random_mask, real_case, run
from harness import Context


def check_random(context: Context) -> None:
    """Many rows of a small head, then some rows of the large ones."""
    for kernel in context.kernels:
        _check_many_rows(context, kernel)
    shapes = ((151_936, 4096), (128_256, 8192), (201_088, 2880), (262_144, 2304))
    for vocab_size, hidden_size in shapes[:1] if context.is_quick else shapes:
        _check_head(context, vocab_size, hidden_size)


def _check_many_rows(context: Context, kernel: str) -> None:
    rows, batch_size = (5_000 if context.is_quick else 100_000), 256
    vocab_size, hidden_size = 32_768, 1024
    weight = normal_weight(context, vocab_size, hidden_size, 3, torch.bfloat16)
    total = Comparison()
    for number in range((rows + batch_size - 1) // batch_size):
        # Every width of a batch takes part.
        width = batch_size if number % 4 else 1 + (number * 37) % batch_size
        scheme = "vllm" if number % 8 == 5 else "flash"
        case = real_case(
            context, width, vocab_size, hidden_size, seed=10_000 + 7 * number, weight=weight, noise_scheme=scheme
        )
        total.add(compare(case, run(case, kernel), oracle_draws(case)))
    # The short batches are made up for.
    while total.draws < rows:
        case = real_case(context, batch_size, vocab_size, hidden_size, seed=5_000_000 + total.draws, weight=weight)
        total.add(compare(case, run(case, kernel), oracle_draws(case)))
    name = f"{kernel}: {total.draws} rows of V={vocab_size} D={hidden_size} equal the oracle beyond the bound"
    context.check(name, total.is_ok, total.describe())


def _check_head(context: Context, vocab_size: int, hidden_size: int) -> None:
    weights = {}
    for dtype in (torch.bfloat16, torch.float16):
        weights[dtype] = normal_weight(context, vocab_size, hidden_size, 5, dtype)
        for kernel in context.kernels:
            total = Comparison()
            for number, batch_size in enumerate((1, 8, 64, 256)):
                case = real_case(
                    context,
                    batch_size,
                    vocab_size,
                    hidden_size,
                    seed=800 + 3 * number,
                    dtype=dtype,
                    weight=weights[dtype],
                    logprobs_mode="raw" if number == 1 else "transformed",
                )
                if number == 2:
                    mask = random_mask(context, batch_size, vocab_size, 99)
                    case = dataclasses.replace(case, rows=dataclasses.replace(case.rows, allowed_tokens=mask))
                total.add(compare(case, run(case, kernel), oracle_draws(case)))
            name = f"{kernel}: V={vocab_size} D={hidden_size} {dtype} equals the oracle beyond the bound"
            context.check(name, total.is_ok, total.describe())
        del weights[dtype]
