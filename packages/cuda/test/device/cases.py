"""Inputs of the checks, and the comparison of a call with the oracle."""

from __future__ import annotations

from dataclasses import dataclass, field

import oracle
import torch
from flashsampling_cuda import SampleResult, prepare
from harness import Context
from oracle import Draws, Rows


@dataclass
class Case:
    """One call: inputs, parameters of the rows, and choices of the call."""

    hidden_states: torch.Tensor  # [batch_size, hidden_size]
    weight: torch.Tensor  # [shard_rows, hidden_size]
    rows: Rows
    vocab_start: int = 0
    max_num_samples: int = 1
    noise_scheme: str = "flash"
    logprobs_mode: str = "transformed"
    is_exact: bool = False  # products sum without rounding in fp32
    token_id_dtype: torch.dtype = torch.int32
    extra: dict[str, object] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        return self.hidden_states.shape[0]

    def pick(self, index: torch.Tensor) -> Case:
        """The same call for some of the rows, in memory of their own."""
        return Case(
            **{**vars(self), "hidden_states": self.hidden_states[index].contiguous(), "rows": self.rows.pick(index)}
        )


def run(case: Case, kernel: str = "auto", **more: object) -> SampleResult:
    """Runs a case with every output, all of them poisoned before."""
    shape = (case.batch_size, case.max_num_samples)
    device = case.hidden_states.device
    out = SampleResult(
        token_ids=torch.full(shape, -77, dtype=case.token_id_dtype, device=device),
        logprobs=torch.full(shape, 77.0, device=device),
        log_sum_exp=torch.full(shape[:1], 77.0, device=device),
        row_status=torch.full(shape[:1], -77, dtype=torch.int32, device=device),
        candidates=torch.full(shape, -77, dtype=torch.int64, device=device),
    )
    options = {
        "vocab_start": case.vocab_start,
        "max_num_samples": case.max_num_samples,
        "noise_scheme": case.noise_scheme,
        "logprobs_mode": case.logprobs_mode,
        "kernel": kernel,
        "out": out,
        **case.rows.options(),
        **case.extra,
        **more,
    }
    return prepare(case.hidden_states, case.weight, **options).run()


def oracle_draws(case: Case) -> Draws:
    """The oracle's answer to a case."""
    return oracle.draw(
        oracle.logits_of(case.hidden_states, case.weight),
        case.rows,
        vocab_start=case.vocab_start,
        max_num_samples=case.max_num_samples,
        noise_scheme=case.noise_scheme,
        logprobs_mode=case.logprobs_mode,
    )


@dataclass
class Comparison:
    """Counts of one or more comparisons with the oracle."""

    draws: int = 0
    wrong: int = 0  # other tokens although the margin exceeds the bound
    within: int = 0  # other tokens, margin within the bound
    close: int = 0  # margin within the bound, whatever the token
    bad_status: int = 0
    bad_logprobs: int = 0
    largest_margin: float = 0.0  # among other tokens
    largest_logprob_error: float = 0.0
    largest_lse_error: float = 0.0
    first_wrong: str = ""

    @property
    def is_ok(self) -> bool:
        return self.wrong == 0 and self.bad_status == 0 and self.bad_logprobs == 0

    def add(self, other: Comparison) -> None:
        for name in ("draws", "wrong", "within", "close", "bad_status", "bad_logprobs"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("largest_margin", "largest_logprob_error", "largest_lse_error"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.first_wrong = self.first_wrong or other.first_wrong

    def describe(self) -> str:
        """One line for the log."""
        text = f"{self.draws} draws, {self.wrong} wrong, {self.within} differ of {self.close} within the bound"
        if self.within + self.wrong > 0:
            text += f" (largest margin {self.largest_margin:.1e})"
        text += f", {self.bad_status} wrong statuses, {self.bad_logprobs} wrong logprobs"
        text += f", errors logprob {self.largest_logprob_error:.1e} lse {self.largest_lse_error:.1e}"
        return text + (f"; first: {self.first_wrong}" if self.first_wrong else "")


def compare(case: Case, result: SampleResult, draws: Draws, magnitudes: torch.Tensor | None = None) -> Comparison:
    """Compares a call with the oracle.

    Args:
        case: The call.
        result: What the library wrote.
        draws: What the oracle says.
        magnitudes: Sums of |h * w|, `[batch_size]`, of inputs that round; computed where missing.
    """
    token_ids = result.token_ids.to(torch.int64).view(draws.token_ids.shape)
    logit_error: torch.Tensor | float = 0.0
    if not case.is_exact:
        if magnitudes is None:
            magnitudes = oracle.magnitudes_of(case.hidden_states, case.weight)
        logit_error = oracle.logit_bound(case.hidden_states.shape[1], magnitudes)
    differs = token_ids != draws.token_ids
    # A row that exists here and not there has no margin: always wrong.
    is_close = (draws.margin < 2 * oracle.score_bound(draws, case.rows, logit_error)) & (draws.token_ids >= 0)
    is_close &= token_ids >= 0
    found = Comparison(draws=token_ids.numel(), close=int(is_close.sum()))
    found.wrong = int((differs & ~is_close).sum())
    found.within = int((differs & is_close).sum())
    finite_margin = torch.where(torch.isfinite(draws.margin), draws.margin, 0.0)
    found.largest_margin = float(torch.where(differs, finite_margin, 0.0).amax())
    if found.wrong > 0:
        row, column = (int(value) for value in (differs & ~is_close).nonzero()[0])
        found.first_wrong = (
            f"row {row} draw {column}: token {int(token_ids[row, column])} instead of "
            f"{int(draws.token_ids[row, column])}, margin {float(draws.margin[row, column]):.3e}"
        )
    found.bad_status = int((result.row_status.to(torch.int64) != draws.row_status).sum())
    _compare_logprobs(case, result, draws, logit_error, differs, found)
    return found


def _compare_logprobs(
    case: Case,
    result: SampleResult,
    draws: Draws,
    logit_error: torch.Tensor | float,
    differs: torch.Tensor,
    found: Comparison,
) -> None:
    bound = oracle.logprob_bound(draws, case.rows, logit_error, case.logprobs_mode == "raw")
    logprobs = result.logprobs.to(torch.float64).view(draws.token_ids.shape)
    has_token = draws.token_ids >= 0
    error = torch.where(has_token & ~differs, (logprobs - draws.logprobs).abs(), 0.0)
    is_bad = ~(error <= bound) | (~has_token & ~torch.isnan(logprobs))
    # Rows with an error have no masses worth comparing; those without any token have -infinity.
    lse = result.log_sum_exp.to(torch.float64)
    is_valid = draws.row_status == 0
    lse_error = torch.where(is_valid, (lse - draws.log_sum_exp).abs(), 0.0)
    found.bad_logprobs = int(is_bad.sum()) + int((~(lse_error <= bound[:, 0])).sum())
    found.largest_logprob_error = float(error.amax())
    found.largest_lse_error = float(lse_error.amax())
    if found.bad_logprobs > 0 and not found.first_wrong:
        row = int((is_bad.any(dim=1) | ~(lse_error <= bound[:, 0])).nonzero()[0])
        found.first_wrong = (
            f"row {row}: logprob {float(logprobs[row, 0]):.6f} for {float(draws.logprobs[row, 0]):.6f}, "
            f"lse {float(lse[row]):.6f} for {float(draws.log_sum_exp[row]):.6f}, bound {float(bound[row, 0]):.1e}"
        )


# --- Inputs ---


def integers(context: Context, shape: tuple[int, int], limit: int, density: float, seed: int) -> torch.Tensor:
    """Integers from -limit to limit, all but `density` of them zero, as float32."""
    generator = context.generator(seed)
    values = torch.randint(-limit, limit + 1, shape, generator=generator, device=context.device)
    keep = torch.rand(shape, generator=generator, device=context.device) < density
    return (values * keep).to(torch.float32)


def random_rows(context: Context, batch_size: int, seed: int, temperatures: tuple[float, ...]) -> Rows:
    """Seeds, positions and temperatures of rows that belong to requests of their own."""
    generator = context.generator(seed)
    low, high = -(2**63), 2**63 - 1

    def words() -> torch.Tensor:
        return torch.randint(low, high, (batch_size,), generator=generator, device=context.device, dtype=torch.int64)

    choice = torch.randint(0, len(temperatures), (batch_size,), generator=generator, device=context.device)
    return Rows(
        temperature=torch.tensor(temperatures, device=context.device)[choice],
        seed=words(),
        position=words(),
    )


def integer_case(
    context: Context,
    batch_size: int,
    vocab_size: int,
    hidden_size: int,
    *,
    seed: int,
    dtype: torch.dtype = torch.bfloat16,
    temperatures: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0),
    **fields: object,
) -> Case:
    """Inputs of small integers: every fp32 sum is exact, so tokens must be equal everywhere."""
    # About 24 products that are not zero: logits with a standard deviation near 8.
    density = min(1.0, 24 / hidden_size)
    return Case(
        integers(context, (batch_size, hidden_size), 2, 1.0, seed).to(dtype),
        integers(context, (vocab_size, hidden_size), 2, density, seed + 1).to(dtype),
        random_rows(context, batch_size, seed + 2, temperatures),
        is_exact=True,
        **fields,
    )


def real_case(
    context: Context,
    batch_size: int,
    vocab_size: int,
    hidden_size: int,
    *,
    seed: int,
    dtype: torch.dtype = torch.bfloat16,
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.3),
    weight: torch.Tensor | None = None,
    **fields: object,
) -> Case:
    """Normal inputs whose logits have a standard deviation near 3."""
    generator = context.generator(seed)
    hidden_states = torch.randn((batch_size, hidden_size), generator=generator, device=context.device).to(dtype)
    if weight is None:
        weight = normal_weight(context, vocab_size, hidden_size, seed + 1, dtype)
    return Case(hidden_states, weight, random_rows(context, batch_size, seed + 2, temperatures), **fields)


def normal_weight(context: Context, vocab_size: int, hidden_size: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    """A head of normal weights, made in place: a large one exists once."""
    weight = torch.empty((vocab_size, hidden_size), dtype=dtype, device=context.device)
    return weight.normal_(0.0, 3.0 / hidden_size**0.5, generator=context.generator(seed))


def random_mask(context: Context, batch_size: int, vocab_size: int, seed: int, *, every: int = 1) -> torch.Tensor:
    """Bitmask `[batch_size, words]` that allows about half of the tokens; `every` > 1 thins it out further."""
    words = (vocab_size + 31) // 32
    generator = context.generator(seed)
    mask = torch.full((batch_size, words), -1, dtype=torch.int64, device=context.device)
    for _ in range(every):
        shape = (batch_size, words)
        mask &= torch.randint(-(2**31), 2**31, shape, generator=generator, device=context.device, dtype=torch.int64)
    return mask.to(torch.int32)


def mixed_bias(context: Context, batch_size: int, vocab_size: int, seed: int) -> torch.Tensor:
    """Bias `[batch_size, vocab_size]` of integers from -4 to 4, one token in eight forbidden by -infinity."""
    bias = integers(context, (batch_size, vocab_size), 4, 0.5, seed)
    forbidden = torch.rand(bias.shape, generator=context.generator(seed + 1), device=context.device) < 0.125
    return torch.where(forbidden, -torch.inf, bias)
