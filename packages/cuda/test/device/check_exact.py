"""Inputs that sum without rounding: tokens equal the float64 oracle for every width, shape, parameter and kernel."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import oracle
import torch
from cases import (
    Case,
    Comparison,
    compare,
    integer_case,
    integers,
    mixed_bias,
    oracle_draws,
    random_mask,
    random_rows,
    run,
)
from flashsampling_cuda import sample_from_logits
from harness import Context
from oracle import Rows

BATCH_SIZES = [
    *range(1, 18),
    *(23, 24, 25, 31, 32, 33, 40, 47, 48, 49, 56, 63, 64, 65, 72, 80, 95, 96, 97, 112, 127, 128, 129),
    *(144, 160, 176, 191, 192, 193, 208, 224, 240, 255, 256, 257, 258, 272, 288, 299, 300),
]
HIDDEN_SIZES = (8, 72, 576, 2880)
VOCAB_SIZES = (1031, 2047, 3000, 4999)


def check_fixtures(context: Context) -> None:
    """The contract's own cases, and the oracle on this device against them."""
    contract = json.loads((Path(__file__).resolve().parents[4] / "fixtures" / "contract.json").read_text())
    cases = contract["noise"]
    seeds = [int(case["seed"]) for case in cases]
    rows = Rows(
        seed=torch.tensor([seed - (seed >> 63 << 64) for seed in seeds], device=context.device),
        position=torch.tensor([int(case["position"]) for case in cases], device=context.device),
        draw_index=torch.tensor([case["draw"] for case in cases], dtype=torch.int32, device=context.device),
    )
    token_ids = torch.tensor([case["tokenId"] for case in cases], device=context.device)
    noise = oracle.noise_table("flash", rows, 0, len(cases), token_ids).diagonal()
    expected = torch.tensor([case["gumbel"] for case in cases], dtype=torch.float64, device=context.device)
    error = float((noise - expected).abs().max())
    context.check("the oracle's noise on this device is that of the fixtures", error < 1e-12, f"{error:.1e}")

    for number, case in enumerate(contract["head"]):
        hidden_size = len(case["hiddenStates"][0])
        for kernel, dtype in itertools.product(context.kernels, (torch.bfloat16, torch.float16)):
            head = Case(
                torch.tensor(case["hiddenStates"], dtype=dtype, device=context.device),
                torch.tensor(case["weight"], dtype=dtype, device=context.device),
                Rows(
                    temperature=torch.full((len(case["seeds"]),), case["temperature"], device=context.device),
                    seed=torch.tensor(
                        [int(seed) - (int(seed) >> 63 << 64) for seed in case["seeds"]], device=context.device
                    ),
                    position=torch.tensor([int(position) for position in case["positions"]], device=context.device),
                ),
                is_exact=True,
            )
            result = run(head, kernel)
            logprobs = torch.tensor(case["logprobs"], device=context.device)
            error = float((result.logprobs[:, 0] - logprobs).abs().max())
            is_ok = result.token_ids[:, 0].tolist() == case["tokenIds"] and error < 1e-4
            name = f"head {number} of the fixtures, D={hidden_size}, {kernel}, {dtype}"
            context.check(name, is_ok, f"logprob error {error:.1e}")


def check_exact(context: Context) -> None:
    """Widths, shapes, dtypes and parameters."""
    for kernel in context.kernels:
        _check_batch_sizes(context, kernel)
        _check_parameters(context, kernel)
        _check_strides(context, kernel)
        _check_large_batches(context, kernel)
    _check_logits(context)


def _check_batch_sizes(context: Context, kernel: str) -> None:
    dtypes = itertools.cycle((torch.bfloat16, torch.float16, torch.bfloat16))
    schemes = itertools.cycle(("flash", "flash", "vllm", "flash", "vllm"))
    starts = itertools.cycle((0, 1, 4097, 151_935, 8, 2**31 + 3, 15))
    batch_sizes = [*BATCH_SIZES[::4], 300] if context.is_quick else BATCH_SIZES
    for hidden_number, hidden_size in enumerate(HIDDEN_SIZES):
        total = Comparison()
        for number, batch_size in enumerate(batch_sizes):
            # One check a hidden size; shapes and choices rotate with periods that share no factor.
            vocab_size = VOCAB_SIZES[(number + hidden_number) % len(VOCAB_SIZES)]
            start = next(starts)
            case = integer_case(
                context,
                batch_size,
                vocab_size,
                hidden_size,
                seed=1000 * hidden_size + batch_size,
                dtype=next(dtypes),
                noise_scheme=next(schemes),
                vocab_start=start,
                token_id_dtype=torch.int64 if start >= 2**31 else torch.int32,
            )
            found = compare(case, run(case, kernel), oracle_draws(case))
            if not found.is_ok and not total.first_wrong:
                found.first_wrong += (
                    f" [B={batch_size} V={vocab_size} {case.hidden_states.dtype} {case.noise_scheme} "
                    f"start {case.vocab_start}]"
                )
            total.add(found)
        name = f"{kernel}: {len(batch_sizes)} batch sizes from 1 to 300 equal the oracle, D={hidden_size}"
        context.check(name, total.is_ok, total.describe())


def parameter_cases(context: Context, batch_size: int, seed: int) -> list[tuple[str, Case]]:
    """One case for each parameter, and one with all of them."""
    vocab_size, hidden_size, start = 3001, 136, 37
    end = start + vocab_size

    def case(**fields: object) -> Case:
        return integer_case(context, batch_size, vocab_size, hidden_size, seed=seed, vocab_start=start, **fields)

    def with_rows(base: Case, **rows: object) -> Case:
        return dataclasses.replace(base, rows=dataclasses.replace(base.rows, **rows))

    per_row = torch.arange(batch_size, device=context.device, dtype=torch.int32)
    mask = random_mask(context, batch_size, end, seed + 5)
    sparse = random_mask(context, batch_size, end, seed + 6, every=6)
    bias = mixed_bias(context, batch_size, end, seed + 7)
    masks_wide = torch.cat([sparse, torch.zeros_like(sparse)], dim=1)[:, : sparse.shape[1] + 3]
    several = case(max_num_samples=5)
    everything = with_rows(
        case(max_num_samples=3, noise_scheme="vllm", token_id_dtype=torch.int64, logprobs_mode="raw"),
        logit_bias=bias,
        allowed_tokens=mask,
        draw_index=per_row * 7,
        num_samples=per_row % 4,
    )
    return [
        ("defaults for every row", dataclasses.replace(case(), rows=Rows())),
        ("greedy", case(temperatures=(0.0,))),
        ("temperatures that are no powers of two", case(temperatures=(0.3, 0.7, 1.1, 3.3, 17.0))),
        ("tiny and huge temperatures", case(temperatures=(1e-30, 1e-12, 1e-3, 1e6, 1e30))),
        ("a bias for each row", with_rows(case(), logit_bias=bias)),
        ("one bias for all rows", with_rows(case(), logit_bias=bias[0].contiguous())),
        ("greedy with a bias", with_rows(case(temperatures=(0.0,)), logit_bias=bias)),
        ("a mask for each row", with_rows(case(), allowed_tokens=mask)),
        ("one mask for all rows", with_rows(case(), allowed_tokens=mask[0].contiguous())),
        ("few allowed tokens, mask rows with a stride", with_rows(case(), allowed_tokens=masks_wide)),
        ("greedy with a mask", with_rows(case(temperatures=(0.0,)), allowed_tokens=mask)),
        ("five draws", several),
        ("draws counted for each row", with_rows(several, num_samples=per_row % 7, draw_index=per_row * 3)),
        ("five draws, vllm noise", dataclasses.replace(several, noise_scheme="vllm")),
        ("int64 token ids", case(token_id_dtype=torch.int64)),
        ("raw log-probabilities", with_rows(case(logprobs_mode="raw"), logit_bias=bias, allowed_tokens=mask)),
        ("all parameters at once", everything),
    ]


def _check_parameters(context: Context, kernel: str) -> None:
    batch_sizes = (3, 64) if context.is_quick else (1, 3, 16, 33, 64, 130, 256, 270)
    totals: dict[str, Comparison] = {}
    for batch_size in batch_sizes:
        for name, case in parameter_cases(context, batch_size, seed=77_000 + batch_size):
            found = compare(case, run(case, kernel), oracle_draws(case))
            if not found.is_ok:
                found.first_wrong += f" [B={batch_size}]"
            totals.setdefault(name, Comparison()).add(found)
    for name, total in totals.items():
        context.check(f"{kernel}: {name}", total.is_ok, total.describe())


def _check_strides(context: Context, kernel: str) -> None:
    for batch_size in (1, 5, 66):
        case = integer_case(context, batch_size, 2001, 200, seed=31 + batch_size)
        # What lies between the rows is NaN: reading it shows.
        wide_states = torch.full((batch_size, 232), torch.nan, dtype=torch.bfloat16, device=context.device)
        wide_weight = torch.full((2001, 264), torch.nan, dtype=torch.bfloat16, device=context.device)
        wide_states[:, 8:208] = case.hidden_states
        wide_weight[:, 16:216] = case.weight
        strided = dataclasses.replace(case, hidden_states=wide_states[:, 8:208], weight=wide_weight[:, 16:216])
        found = compare(strided, run(strided, kernel), oracle_draws(case))
        context.check(
            f"{kernel}: rows with strides and NaN between them, B={batch_size}", found.is_ok, found.describe()
        )


def _check_large_batches(context: Context, kernel: str) -> None:
    for batch_size in (512, 1024) if not context.is_quick else (513,):
        case = integer_case(context, batch_size, 2001, 256, seed=batch_size, max_num_samples=2)
        found = compare(case, run(case, kernel), oracle_draws(case))
        context.check(f"{kernel}: batch of {batch_size} in tiles", found.is_ok, found.describe())


def _check_logits(context: Context) -> None:
    """Draws from logits in memory equal the oracle's draws from the same logits."""
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        total = Comparison()
        for number, batch_size in enumerate((1, 7, 64, 256)):
            vocab_size, start = 4999, 13
            end = start + vocab_size
            logits = integers(context, (batch_size, vocab_size), 20, 0.7, seed=900 + batch_size).to(dtype)
            rows = random_rows(context, batch_size, 5 + batch_size, (0.0, 0.5, 1.0, 4.0))
            if number % 2 == 1:
                rows.logit_bias = mixed_bias(context, batch_size, end, 17)
                rows.allowed_tokens = random_mask(context, batch_size, end, 18)
            case = Case(logits, logits, rows, vocab_start=start, is_exact=True, max_num_samples=2)
            case.logprobs_mode = "raw" if number == 3 else "transformed"
            draws = oracle.draw(
                logits.to(torch.float64),
                rows,
                vocab_start=start,
                max_num_samples=2,
                logprobs_mode=case.logprobs_mode,
            )
            result = sample_from_logits(
                logits,
                vocab_start=start,
                max_num_samples=2,
                logprobs_mode=case.logprobs_mode,
                logprobs=True,
                log_sum_exp=True,
                row_status=True,
                **rows.options(),
            )
            total.add(compare(case, result, draws))
        context.check(f"draws from {dtype} logits equal the oracle", total.is_ok, total.describe())
