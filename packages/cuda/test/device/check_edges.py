"""Rows that have no token, rows with one, ties, heads smaller than a tile."""

from __future__ import annotations

import dataclasses

import torch
from cases import Case, Comparison, compare, integer_case, oracle_draws, run
from check_invariance import run_shards
from flashsampling_cuda import sample
from harness import Context
from oracle import Rows


def check_edges(context: Context) -> None:
    """Every edge on every kernel."""
    for kernel in context.kernels:
        _check_bad_rows(context, kernel)
        _check_ties(context, kernel)
        _check_small_heads(context, kernel)
        _check_infinite_logits(context, kernel)
        _check_extreme_ids(context, kernel)
        _check_huge_logits(context, kernel)


def _check_bad_rows(context: Context, kernel: str) -> None:
    """A bad row gets its status, no token and NaN; the others keep token and score to the bit, and their logprob."""
    for batch_size in (5, 64, 256, 300):
        case = integer_case(context, batch_size, 5003, 72, seed=batch_size, max_num_samples=2)
        good = run(case, kernel)
        states = case.hidden_states.clone()
        temperature = case.rows.temperature.clone()
        mask = torch.full((batch_size, (5003 + 31) // 32), -1, dtype=torch.int32, device=context.device)
        expected = torch.zeros(batch_size, dtype=torch.int32, device=context.device)
        states[0, 71] = torch.nan
        states[1, 0] = torch.inf
        mask[2] = 0
        expected[:3] = torch.tensor([1, 1, 2], dtype=torch.int32)
        if batch_size > 20:
            for row, value in ((batch_size - 1, -1.0), (batch_size - 2, torch.nan), (17, torch.inf), (18, -torch.inf)):
                temperature[row] = value
                expected[row] = 3
            # Every logit is a NaN, not one of them.
            states[19] = torch.nan
            expected[19] = 1
        # A bit beyond the vocabulary allows nothing.
        mask[2, -1] = -(1 << (5003 % 32))
        rows = dataclasses.replace(case.rows, temperature=temperature, allowed_tokens=mask)
        result = run(dataclasses.replace(case, hidden_states=states, rows=rows), kernel)
        is_good = expected == 0
        no_token = (result.token_ids[~is_good] == -1).all() and torch.isnan(result.logprobs[~is_good]).all()
        # An invalid row's candidate is its status below 32 set bits, so that a merge keeps the error.
        in_place = torch.where(expected == 2, 0, expected.to(torch.int64) - 2**32)
        no_candidate = torch.equal(result.candidates[~is_good], in_place[~is_good].unsqueeze(1).expand(-1, 2))
        untouched = (
            torch.equal(result.token_ids[is_good], good.token_ids[is_good])
            and torch.equal(result.candidates[is_good], good.candidates[is_good])
            # Sums of exponentials may take another order beside a bad row or under a mask.
            and torch.allclose(result.logprobs[is_good], good.logprobs[is_good], rtol=1e-6, atol=1e-5)
        )
        statuses_ok = torch.equal(result.row_status, expected)
        detail = (
            "" if statuses_ok else f"status {result.row_status[~is_good].tolist()} for {expected[~is_good].tolist()}"
        )
        name = f"{kernel}: bad rows get their status and leave the others alone, B={batch_size}"
        context.check(name, bool(statuses_ok and no_token and no_candidate and untouched), detail)
        again = run(case, kernel)
        context.check(
            f"{kernel}: the call after bad rows is clean, B={batch_size}",
            torch.equal(again.token_ids, good.token_ids) and torch.equal(again.row_status, good.row_status),
        )


def _check_ties(context: Context, kernel: str) -> None:
    """Greedy rows with equal logits take the lowest id, wherever the equal tokens lie."""
    wrong = []
    vocab_size, hidden_size = 40_009, 64
    for number, tied in enumerate(
        ([3, 4], [7, 15], [127, 128], [0, 40_008], [255, 256, 12_345], [20_000, 20_008, 40_000])
    ):
        for batch_size in (1, 40, 200):
            weight = torch.zeros((vocab_size, hidden_size), dtype=torch.bfloat16, device=context.device)
            weight[tied, 5] = 2.0
            states = torch.ones((batch_size, hidden_size), dtype=torch.bfloat16, device=context.device)
            rows = Rows(temperature=torch.zeros(batch_size, device=context.device))
            start = 11 * number
            result = run(Case(states, weight, rows, vocab_start=start, is_exact=True), kernel)
            if set(result.token_ids[:, 0].tolist()) != {tied[0] + start}:
                wrong.append((tied, batch_size, result.token_ids[:, 0].unique().tolist()))
    states = torch.zeros((9, hidden_size), dtype=torch.bfloat16, device=context.device)
    weight = torch.ones((vocab_size, hidden_size), dtype=torch.bfloat16, device=context.device)
    result = run(Case(states, weight, Rows(temperature=torch.zeros(9, device=context.device)), is_exact=True), kernel)
    if set(result.token_ids[:, 0].tolist()) != {0}:
        wrong.append(("all equal", result.token_ids[:, 0].tolist()))
    # Both zeros are equal logits.
    states = torch.tensor([[1.0] * 8], dtype=torch.bfloat16, device=context.device)
    weight = torch.zeros((300, 8), dtype=torch.bfloat16, device=context.device)
    weight[:17] = -0.0
    weight[40] = -0.0
    result = run(Case(states, weight, Rows(temperature=torch.zeros(1, device=context.device)), is_exact=True), kernel)
    if result.token_ids.item() != 0:
        wrong.append(("zeros of both signs", result.token_ids.item()))
    context.check(f"{kernel}: equal logits give the lowest token id", not wrong, str(wrong) if wrong else "")


def _check_small_heads(context: Context, kernel: str) -> None:
    total = Comparison()
    for number, vocab_size in enumerate(
        (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 191, 255, 257, 300)
    ):
        for batch_size in (1, 3, 65, 256):
            case = integer_case(
                context,
                batch_size,
                vocab_size,
                8 * (1 + number),
                seed=vocab_size,
                vocab_start=number * 5,
                max_num_samples=2,
            )
            found = compare(case, run(case, kernel), oracle_draws(case))
            if not found.is_ok:
                found.first_wrong += f" [V={vocab_size} B={batch_size}]"
            total.add(found)
    context.check(f"{kernel}: heads of 1 to 300 tokens equal the oracle", total.is_ok, total.describe())


def _check_infinite_logits(context: Context, kernel: str) -> None:
    """A logit of -infinity is a masked token; +infinity is an error of its row."""
    case = integer_case(context, 40, 3001, 64, seed=1)
    case.hidden_states.fill_(1.0)
    weight = case.weight.clone()
    weight[::2, 3] = -torch.inf
    lower = dataclasses.replace(case, weight=weight)
    result = run(lower, kernel)
    found = compare(lower, result, oracle_draws(lower))
    none_even = bool((result.token_ids % 2 == 1).all())
    context.check(f"{kernel}: logits of -infinity are never drawn", found.is_ok and none_even, found.describe())
    weight[:, 3] = -torch.inf
    result = run(lower, kernel)
    is_ok = bool((result.row_status == 2).all() and (result.token_ids == -1).all())
    context.check(
        f"{kernel}: rows of nothing but -infinity have no token", is_ok, f"{result.row_status.unique().tolist()}"
    )
    weight.copy_(case.weight)
    weight[2999, 3] = torch.inf
    case.hidden_states[7, 3] = -1.0
    result = run(dataclasses.replace(case, weight=weight), kernel)
    expected = torch.ones(40, dtype=torch.int32, device=context.device)
    expected[7] = 0
    is_ok = torch.equal(result.row_status, expected) and bool((result.token_ids[expected == 1] == -1).all())
    context.check(f"{kernel}: a logit of +infinity is an error of its row", is_ok and result.token_ids[7].item() >= 0)
    # The shard that holds the infinite weight is the last of three.
    merged = run_shards(dataclasses.replace(case, weight=weight), kernel, 3)
    is_ok = torch.equal(merged.row_status, expected) and torch.equal(merged.token_ids, result.token_ids)
    no_logprob = bool(torch.isnan(merged.logprobs[expected == 1]).all())
    context.check(f"{kernel}: a merge keeps the error of one shard", is_ok and no_logprob)


def _check_extreme_ids(context: Context, kernel: str) -> None:
    """Token ids up to 2^32 - 1 enter the noise as they are."""
    total = Comparison()
    for start in (2**31 - 100, 2**32 - 1999):
        case = integer_case(context, 20, 1999, 64, seed=start % 1000, vocab_start=start, token_id_dtype=torch.int64)
        total.add(compare(case, run(case, kernel), oracle_draws(case)))
    context.check(f"{kernel}: ids around 2^31 and up to 2^32 - 1 equal the oracle", total.is_ok, total.describe())


def _check_huge_logits(context: Context, kernel: str) -> None:
    """Scores above 2^127, where best * log2(e) overflows: the largest wins, equal ones go to the lowest id."""
    wrong = []
    for batch_size in (1, 33, 100, 200):
        hidden_states = torch.zeros(batch_size, 8, dtype=torch.bfloat16, device=context.device)
        hidden_states[:, 0] = 1.0
        seed = torch.arange(batch_size, dtype=torch.int64, device=context.device)
        # Ids of one block, in its first and in a later tile.
        for values, expected in (({0: 2.5e38, 256: 3e38}, 256), ({260: 3e38, 5: 3e38}, 5), ({16: 3e38, 0: 2.5e38}, 16)):
            weight = torch.zeros(40_000, 8, dtype=torch.bfloat16, device=context.device)
            for token_id, value in values.items():
                weight[token_id, 0] = value
            for temperature in (0.0, 1.0):
                rows = torch.full((batch_size,), temperature, device=context.device)
                drawn = sample(hidden_states, weight, temperature=rows, seed=seed, kernel=kernel).token_ids
                if not bool((drawn == expected).all()):
                    wrong.append((batch_size, values, temperature, drawn.flatten()[:4].tolist()))
    context.check(f"{kernel}: logits up to 3e38 keep their order", not wrong, str(wrong[:3]) if wrong else "")
