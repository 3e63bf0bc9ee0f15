"""Float64 oracle of a whole call on tensors, and the bounds within which an fp32 kernel may differ from it."""

from __future__ import annotations

from dataclasses import dataclass

import noise_oracle
import torch

SMALLEST_TEMPERATURE = 2.0**-60
# |fp32 noise - float64 noise|, the contract of docs/noise.md.
NOISE_BOUND = 1e-5
# Elements of a temporary; larger tables are computed in blocks of rows.
BLOCK_ELEMENTS = 1 << 24


class TorchMath:
    """Float64 functions of tensors."""

    log = staticmethod(torch.log)
    log1p = staticmethod(torch.log1p)

    @staticmethod
    def real(value: torch.Tensor) -> torch.Tensor:
        return value.to(torch.float64)


@dataclass
class Rows:
    """Parameters of the rows, as the library gets them; `None` is the default."""

    temperature: torch.Tensor | None = None  # [batch_size] fp32
    seed: torch.Tensor | None = None  # [batch_size] int64, bits of a u64
    position: torch.Tensor | None = None  # [batch_size] int64, bits of a u64
    draw_index: torch.Tensor | None = None  # [batch_size] int32, bits of a u32
    num_samples: torch.Tensor | None = None  # [batch_size] int32
    logit_bias: torch.Tensor | None = None  # [n] or [batch_size, n] fp32, by global token id
    allowed_tokens: torch.Tensor | None = None  # [words] or [batch_size, words] int32, by global token id

    def pick(self, index: torch.Tensor) -> Rows:
        """Parameters of some of the rows, in memory of their own."""
        tables = ("logit_bias", "allowed_tokens")
        return Rows(
            **{
                name: value
                if value is None or (name in tables and value.dim() == 1)
                else value.index_select(0, index).contiguous()
                for name, value in vars(self).items()
            }
        )

    def options(self) -> dict[str, torch.Tensor]:
        """Arguments of `flashsampling_cuda.prepare()`."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass
class Draws:
    """What the oracle says about a call with `max_num_samples` columns."""

    token_ids: torch.Tensor  # [batch_size, columns] int64; -1 where there is no token
    margin: torch.Tensor  # [batch_size, columns] distance of the two best scores, nats; inf with one token
    score: torch.Tensor  # [batch_size, columns] of the winner
    logprobs: torch.Tensor  # [batch_size, columns] of the winner, NaN without one
    log_sum_exp: torch.Tensor  # [batch_size]
    row_status: torch.Tensor  # [batch_size]
    magnitude: torch.Tensor  # [batch_size] largest finite |transformed logit|


def noise_table(scheme: str, rows: Rows, draw: int, batch_size: int, token_ids: torch.Tensor) -> torch.Tensor:
    """Float64 noise of every row and token, `[batch_size, tokens]`."""
    device = token_ids.device
    zeros = torch.zeros(batch_size, dtype=torch.int64, device=device)
    seed = zeros if rows.seed is None else rows.seed.view(torch.int64)
    position = zeros if rows.position is None else rows.position.view(torch.int64)
    first = zeros if rows.draw_index is None else rows.draw_index.view(torch.int32).to(torch.int64)
    key = noise_oracle.row_key(seed, position, (first + draw) & noise_oracle.MASK)
    parts = []
    for block in blocks(batch_size, token_ids.numel()):
        words = tuple(word[block, None] for word in key)
        bits = noise_oracle.token_bits(scheme, words, token_ids[None, :])
        parts.append(noise_oracle.gumbel(scheme, bits, TorchMath))
    return torch.cat(parts)


def blocks(batch_size: int, columns: int) -> list[slice]:
    """Cuts rows so that a table of `columns` stays below `BLOCK_ELEMENTS`."""
    step = max(1, BLOCK_ELEMENTS // max(1, columns))
    return [slice(start, min(start + step, batch_size)) for start in range(0, batch_size, step)]


def logits_of(hidden_states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Float64 logits `[batch_size, shard_rows]`; the weight is widened in pieces."""
    wide = hidden_states.to(torch.float64)
    step = max(1, (1 << 28) // weight.shape[1])
    pieces = [wide @ weight[start : start + step].to(torch.float64).t() for start in range(0, weight.shape[0], step)]
    return torch.cat(pieces, dim=1)


def magnitudes_of(hidden_states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Largest sum of |h * w| over the tokens of every row, `[batch_size]` float64, rounded up."""
    wide = hidden_states.abs().to(torch.float32)
    step = max(1, (1 << 28) // weight.shape[1])
    largest = torch.zeros(hidden_states.shape[0], dtype=torch.float32, device=hidden_states.device)
    for start in range(0, weight.shape[0], step):
        piece = wide @ weight[start : start + step].abs().to(torch.float32).t()
        largest = torch.maximum(largest, piece.amax(dim=1))
    # tf32, if some setting turned it on, is off by less than this.
    return largest.to(torch.float64) * 1.002


def is_allowed(rows: Rows, token_ids: torch.Tensor) -> torch.Tensor | None:
    """Which tokens each row may draw, `[1 or batch_size, tokens]`."""
    if rows.allowed_tokens is None:
        return None
    words = rows.allowed_tokens if rows.allowed_tokens.dim() == 2 else rows.allowed_tokens[None, :]
    return ((words[:, token_ids >> 5].to(torch.int64) >> (token_ids & 31)) & 1).to(torch.bool)


def draw(
    logits: torch.Tensor,
    rows: Rows,
    *,
    vocab_start: int = 0,
    max_num_samples: int = 1,
    noise_scheme: str = "flash",
    logprobs_mode: str = "transformed",
) -> Draws:
    """Draws from float64 logits `[batch_size, tokens]` by the contract."""
    batch_size, tokens = logits.shape
    device = logits.device
    token_ids = torch.arange(vocab_start, vocab_start + tokens, dtype=torch.int64, device=device)
    temperature = torch.ones(batch_size, dtype=torch.float64, device=device)
    if rows.temperature is not None:
        temperature = rows.temperature.to(torch.float64)
    is_valid = (temperature >= 0) & (temperature < torch.inf)
    is_greedy = temperature == 0
    divisor = torch.where(is_greedy | ~is_valid, 1.0, temperature.clamp(min=SMALLEST_TEMPERATURE))[:, None]

    transformed = logits
    if rows.logit_bias is not None:
        bias = rows.logit_bias if rows.logit_bias.dim() == 2 else rows.logit_bias[None, :]
        transformed = transformed + bias[:, vocab_start : vocab_start + tokens].to(torch.float64)
    is_bad = (torch.isnan(transformed) | (transformed == torch.inf)).any(dim=1)
    allowed = is_allowed(rows, token_ids)
    if allowed is not None:
        transformed = torch.where(allowed, transformed, -torch.inf)
    transformed = transformed / divisor
    has_token = (transformed > -torch.inf).any(dim=1)
    status = torch.where(has_token, 0, 2)
    status = torch.where(is_bad, 1, status)
    status = torch.where(is_valid, status, 3)

    reported = logits if logprobs_mode == "raw" else transformed
    log_sum_exp = torch.logsumexp(reported, dim=1)
    finite = torch.where(torch.isfinite(transformed), transformed.abs(), 0.0)
    columns = []
    wanted = torch.full((batch_size,), max_num_samples, dtype=torch.int64, device=device)
    if rows.num_samples is not None:
        wanted = rows.num_samples.to(torch.int64).clamp(max=max_num_samples)
    for column in range(max_num_samples):
        noise = noise_table(noise_scheme, rows, column, batch_size, token_ids)
        scores = transformed + torch.where(is_greedy[:, None], 0.0, noise)
        scores = torch.where(torch.isnan(scores), -torch.inf, scores)
        best = scores.amax(dim=1, keepdim=True)
        # The lowest id among equal scores, whatever an argmax would give.
        local = torch.where(scores == best, torch.arange(tokens, device=device), tokens).amin(dim=1)
        second = scores.scatter(1, local[:, None], -torch.inf).amax(dim=1)
        exists = (status == 0) & (column < wanted)
        logprob = reported.gather(1, local[:, None])[:, 0] - log_sum_exp
        columns.append(
            (
                torch.where(exists, local + vocab_start, -1),
                best[:, 0] - second,
                best[:, 0],
                torch.where(exists, logprob, torch.nan),
            )
        )
    token, margin, score, logprob = (torch.stack(parts, dim=1) for parts in zip(*columns, strict=True))
    return Draws(token, margin, score, logprob, log_sum_exp, status, finite.amax(dim=1))


# --- Bounds ---


def logit_bound(hidden_size: int, magnitudes: torch.Tensor) -> torch.Tensor:
    """Error of an fp32 logit whose products are exact, `magnitudes` the sum of |h * w|.

    A tensor core adds 16 products at a time to the accumulator; each addition is taken to lose at most one unit in the
    last place (2^-23) of the sum of magnitudes, and 16 more stand for the order inside the steps. This is stricter than
    the bound of docs/numbers.md, which holds for any input.
    """
    return (hidden_size / 16 + 16) * 2.0**-23 * magnitudes


def score_bound(draws: Draws, rows: Rows, logit_error: torch.Tensor | float) -> torch.Tensor:
    """Error of an fp32 score, `[batch_size, columns]`: logit, bias, division by the temperature, noise, their sum."""
    temperature = torch.ones_like(draws.magnitude)
    if rows.temperature is not None:
        temperature = rows.temperature.to(torch.float64)
    divisor = torch.where(temperature > 0, temperature.clamp(min=SMALLEST_TEMPERATURE), 1.0)
    noise = torch.where(temperature > 0, NOISE_BOUND, 0.0)
    rounding = 3 * 2.0**-24 * draws.magnitude
    error = (logit_error / divisor + rounding + noise)[:, None] + 2.0**-24 * draws.score.abs()
    if isinstance(logit_error, float) and logit_error == 0.0:
        # Greedy rows of exact sums are exact: equal logits are a tie, which the lowest id wins.
        error = torch.where(temperature[:, None] == 0, 0.0, error)
    return error


def logprob_bound(draws: Draws, rows: Rows, logit_error: torch.Tensor | float, is_raw: bool) -> torch.Tensor:
    """Error of an fp32 log-probability, `[batch_size, columns]`.

    The winner's logit is its score less the noise again, times the temperature for raw ones; the log-sum-exp adds
    exponentials whose exponents are rounded, 2^-22 of their magnitude, and the sum's own rounding.
    """
    score_error = score_bound(draws, rows, logit_error) + 2.0**-22 * draws.score.abs()
    scale = torch.ones_like(draws.magnitude)
    if is_raw and rows.temperature is not None:
        scale = rows.temperature.to(torch.float64).clamp(min=1.0)
    exponent = 2.0**-21 * draws.magnitude * scale
    return score_error * scale[:, None] + exponent[:, None] + 5e-5
