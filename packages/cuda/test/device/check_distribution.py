"""Frequencies of many draws against exact probabilities and against `torch.multinomial`."""

from __future__ import annotations

import oracle
import torch
from cases import random_mask
from flashsampling_cuda import prepare
from harness import Context
from oracle import is_allowed
from statistics_oracle import ChiSquare, chi_square, two_sample_chi_square

VOCAB_SIZE = 128_000
SMALLEST_P = 1e-3


def check_distribution(context: Context) -> None:
    """Ten million draws of the plain path; fewer of every variant."""
    many = 200_000 if context.is_quick else 10_000_000
    some = 100_000 if context.is_quick else 1_000_000
    hidden_states, weight, probabilities = _head(context)

    counts = _count(context, hidden_states, weight, many, batch_size=256)
    _test(context, f"{many} draws of {VOCAB_SIZE} tokens, a seed for each row", counts, probabilities)
    _compare_with_multinomial(context, counts, probabilities, many)

    counts = _count(context, hidden_states, weight, some, batch_size=32, max_num_samples=8)
    _test(context, f"{some} draws, eight of each row", counts, probabilities)
    counts = _count(context, hidden_states, weight, some, batch_size=256, noise_scheme="vllm")
    _test(context, f"{some} draws with vllm noise", counts, probabilities)
    counts = _count(context, hidden_states, weight, some, batch_size=256, one_seed=True)
    _test(context, f"{some} draws of one seed at successive positions", counts, probabilities)
    for kernel in context.kernels[1:]:
        counts = _count(context, hidden_states, weight, some, batch_size=64, kernel=kernel)
        _test(context, f"{some} draws by {kernel}", counts, probabilities)

    mask = random_mask(context, 1, VOCAB_SIZE, 5, every=3)[0].contiguous()
    allowed = is_allowed(oracle.Rows(allowed_tokens=mask), torch.arange(VOCAB_SIZE, device=context.device))[0]
    masked = torch.where(allowed, probabilities, 0.0)
    counts = _count(context, hidden_states, weight, some, batch_size=256, allowed_tokens=mask)
    context.check("masked tokens are never drawn", int(counts[~allowed].sum()) == 0)
    _test(context, f"{some} draws of an eighth of the tokens", counts, masked / masked.sum())

    # Few tokens of very different weight: the rare ones show a noise whose tail is cut.
    small = torch.zeros((64, 8), dtype=torch.bfloat16, device=context.device)
    small[:, 0] = -torch.arange(64, device=context.device).to(torch.float32) / 4
    one = torch.zeros((1, 8), dtype=torch.bfloat16, device=context.device)
    one[0, 0] = 1.0
    counts = _count(context, one, small, some, batch_size=256)
    exact = torch.softmax(oracle.logits_of(one, small)[0], dim=0)
    _test(context, f"{some} draws of 64 tokens down to e^-16", counts, exact)


def _head(context: Context) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One hidden state of eight elements, so that a draw costs little but its noise; exact probabilities."""
    generator = context.generator(123)
    hidden_states = torch.ones((1, 8), dtype=torch.bfloat16, device=context.device)
    weight = torch.randn((VOCAB_SIZE, 8), generator=generator, device=context.device)
    weight = (weight * (1.5 / 8**0.5)).to(torch.bfloat16)
    return hidden_states, weight, torch.softmax(oracle.logits_of(hidden_states, weight)[0], dim=0)


def _count(
    context: Context,
    hidden_states: torch.Tensor,
    weight: torch.Tensor,
    draws: int,
    *,
    batch_size: int,
    max_num_samples: int = 1,
    one_seed: bool = False,
    **options: object,
) -> torch.Tensor:
    """Counts the tokens of so many draws or a few more; fixed seeds, every (seed, position, draw) once."""
    device = context.device
    seed = torch.full((batch_size,), 99, dtype=torch.int64, device=device)
    position = torch.zeros(batch_size, dtype=torch.int64, device=device)
    step = torch.arange(batch_size, dtype=torch.int64, device=device)
    if one_seed:
        position += step
    else:
        seed += step * 0x9E3779B97F4A7C1
    prepared = prepare(
        hidden_states.expand(batch_size, -1).contiguous(),
        weight,
        seed=seed,
        position=position,
        max_num_samples=max_num_samples,
        **options,
    )
    counts = torch.zeros(weight.shape[0], dtype=torch.int64, device=device)
    ones = torch.ones(batch_size * max_num_samples, dtype=torch.int64, device=device)
    for _ in range((draws + ones.numel() - 1) // ones.numel()):
        counts.scatter_add_(0, prepared.run().token_ids.view(-1).to(torch.int64), ones)
        position += batch_size if one_seed else 1
    return counts


def _test(context: Context, name: str, counts: torch.Tensor, probabilities: torch.Tensor) -> None:
    total = int(counts.sum())
    result = chi_square(counts.tolist(), (probabilities * total).tolist())
    context.check(f"{name}: chi-square", result.p_value > SMALLEST_P, _describe(result))


def _compare_with_multinomial(context: Context, counts: torch.Tensor, probabilities: torch.Tensor, draws: int) -> None:
    peer = torch.zeros_like(counts)
    generator = context.generator(321)
    for _ in range(max(1, draws // 1_000_000)):
        size = min(draws, 1_000_000)
        tokens = torch.multinomial(probabilities, size, replacement=True, generator=generator)
        peer += torch.bincount(tokens, minlength=counts.numel())
    result = two_sample_chi_square(counts.tolist(), peer.tolist(), probabilities.tolist())
    name = f"{int(counts.sum())} draws and {int(peer.sum())} of torch.multinomial: two-sample chi-square"
    context.check(name, result.p_value > SMALLEST_P, _describe(result))


def _describe(result: ChiSquare) -> str:
    return f"{result.statistic:.1f} with {result.degrees} degrees of freedom, p = {result.p_value:.4f}"
