"""Everybody who is timed: each turns a cell into calls that draw one token for every row.

A cell has several sets of inputs, so that a call finds nothing of its weight in the cache; a contender makes one call
for each. Contenders that need logits share one buffer.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from flashsampling_cuda import SampleResult, new_workspace, prepare, prepare_from_logits
from timing import Call, quick_median

TEMPERATURE = 0.8
POISON = -77


class Unavailable(RuntimeError):
    """A contender cannot run here; the message says why."""


@dataclass
class Cell:
    """Inputs of one shape, type and batch size."""

    vocab_size: int
    hidden_size: int
    batch_size: int
    dtype: torch.dtype
    weights: Sequence[torch.Tensor]  # copies of [vocab_size, hidden_size], taken in turn
    hidden_states: Sequence[torch.Tensor]  # [batch_size, hidden_size], one for each call of a sample
    logits: torch.Tensor  # [batch_size, vocab_size], of the type of the weight
    gemm: tuple[str, list[Call]] | None = None  # the fastest product into `logits`

    @property
    def num_calls(self) -> int:
        return len(self.hidden_states)

    def weight(self, call: int) -> torch.Tensor:
        return self.weights[call % len(self.weights)]


@dataclass
class Entry:
    """A contender in a cell."""

    calls: list[Call]
    method: str = ""  # which of several ways was taken
    waits_for_host: bool = False  # cannot be captured into a graph
    token_ids: list[torch.Tensor] = field(default_factory=list)  # outputs to look at afterwards, poisoned before


def flashsampling(cell: Cell, variant: str = "plain", kernel: str = "auto") -> Entry:
    """The fused kernel."""
    entry = Entry([])
    for call in range(cell.num_calls):
        options = _row_options(cell, call)
        options.update(_variant_options(cell, variant))
        out = SampleResult(token_ids=_poisoned(cell))
        weight = cell.weight(call)
        prepared = prepare(cell.hidden_states[call], weight, kernel=kernel, out=out, **options)
        entry.calls.append(prepared.run)
        entry.token_ids.append(out.token_ids)
    return entry


def flashsampling_portable(cell: Cell) -> Entry:
    """The fused kernel for sm_80 and later."""
    return flashsampling(cell, kernel="smxx")


def cublas_gemm(cell: Cell) -> Entry:
    """The bare matrix product: logits are written, nothing is drawn. The fastest of the ways PyTorch offers."""
    method, calls = _row_major_gemm(cell)
    best = (quick_median(calls), method, calls)
    logits = cell.logits.view(-1).view(cell.vocab_size, cell.batch_size)

    def transposed(call: int) -> Call:
        states, weight = cell.hidden_states[call].t(), cell.weight(call)
        return lambda: torch.mm(weight, states, out=logits)

    ways = [("weight @ hidden_states.T", [transposed(call) for call in range(cell.num_calls)])]
    if cell.batch_size == 1:

        def vector(call: int) -> Call:
            states, weight = cell.hidden_states[call][0], cell.weight(call)
            return lambda: torch.mv(weight, states, out=logits[:, 0])

        ways.append(("mv", [vector(call) for call in range(cell.num_calls)]))
    best = min([best, *_time_ways(ways)], key=lambda found: found[0])
    return Entry(best[2], best[1])


def flashsampling_two_step(cell: Cell) -> Entry:
    """The matrix product into logits, then this project's draw from logits."""
    method, gemm = _row_major_gemm(cell)
    entry = Entry([], method)
    workspace = new_workspace(cell.logits.device, cell.batch_size)
    for call in range(cell.num_calls):
        out = SampleResult(token_ids=_poisoned(cell))
        options = _row_options(cell, call)
        draw = prepare_from_logits(cell.logits, out=out, workspace=workspace, **options)
        entry.calls.append(_chain(gemm[call], draw.run))
        entry.token_ids.append(out.token_ids)
    return entry


def torch_multinomial(cell: Cell) -> Entry:
    """The matrix product, then softmax and an exponential race, which is how torch.multinomial draws, compiled."""
    method, gemm = _row_major_gemm(cell)
    draw = _compiled_draw()
    temperature = _temperature(cell)
    entry = Entry([], f"torch.compile; {method}")
    logits = cell.logits
    # One program for all batch sizes above 1.
    if cell.batch_size > 1:
        torch._dynamo.mark_dynamic(logits, 0)
        torch._dynamo.mark_dynamic(temperature, 0)
    for call in range(cell.num_calls):
        token_ids = _poisoned(cell, torch.int64)[:, 0]
        entry.calls.append(_chain(gemm[call], _store(lambda: draw(logits, temperature), token_ids)))
        entry.token_ids.append(token_ids)
    return entry


def torch_multinomial_eager(cell: Cell) -> Entry:
    """The matrix product, then `torch.softmax` and `torch.multinomial`, step by step; it waits for the host."""
    method, gemm = _row_major_gemm(cell)
    entry = Entry([], method, waits_for_host=True)
    temperature = _temperature(cell)[:, None]
    logits = cell.logits
    for call in range(cell.num_calls):
        token_ids = _poisoned(cell, torch.int64)

        def draw() -> torch.Tensor:
            return torch.multinomial(torch.softmax(logits.float() / temperature, dim=-1), 1)

        entry.calls.append(_chain(gemm[call], _store(draw, token_ids)))
        entry.token_ids.append(token_ids)
    return entry


def flashinfer_gumbel(cell: Cell) -> Entry:
    """The matrix product, then FlashInfer's Gumbel draw from logits; no division by a temperature."""
    flashinfer = _flashinfer()
    method, gemm = _row_major_gemm(cell)
    entry = Entry([], method)
    for call in range(cell.num_calls):
        token_ids = _poisoned(cell)[:, 0]
        seed, offset = _seed_and_offset(cell, call)

        def draw(seed: torch.Tensor = seed, offset: torch.Tensor = offset) -> torch.Tensor:
            return flashinfer.sampling.sampling_from_logits(cell.logits, seed=seed, offset=offset)

        entry.calls.append(_chain(gemm[call], _store(draw, token_ids)))
        entry.token_ids.append(token_ids)
    return entry


def flashinfer_topk_topp(cell: Cell) -> Entry:
    """The matrix product, then FlashInfer's filtered draw with filters that keep everything, one pair for each row."""
    flashinfer = _flashinfer()
    method, gemm = _row_major_gemm(cell)
    entry = Entry([], method)
    device = cell.logits.device
    top_k = torch.full((cell.batch_size,), cell.vocab_size, dtype=torch.int32, device=device)
    top_p = torch.ones(cell.batch_size, device=device)
    for call in range(cell.num_calls):
        token_ids = _poisoned(cell)[:, 0]
        seed, offset = _seed_and_offset(cell, call)

        def draw(seed: torch.Tensor = seed, offset: torch.Tensor = offset) -> torch.Tensor:
            logits = cell.logits.float()
            return flashinfer.sampling.top_k_top_p_sampling_from_logits(logits, top_k, top_p, seed=seed, offset=offset)

        entry.calls.append(_chain(gemm[call], _store(draw, token_ids)))
        entry.token_ids.append(token_ids)
    return entry


CONTENDERS: dict[str, Callable[..., Entry]] = {
    "cublas-gemm": cublas_gemm,
    "flashsampling": flashsampling,
    "flashsampling-portable": flashsampling_portable,
    "flashsampling-two-step": flashsampling_two_step,
    "torch-multinomial": torch_multinomial,
    "torch-multinomial-eager": torch_multinomial_eager,
    "flashinfer-gumbel": flashinfer_gumbel,
    "flashinfer-topk-topp": flashinfer_topk_topp,
}
VARIANTS = ("plain", "temperatures", "logprobs", "masked")


# --- Helpers ---


def _row_options(cell: Cell, call: int) -> dict[str, torch.Tensor]:
    device = cell.logits.device
    rows = torch.arange(cell.batch_size, dtype=torch.int64, device=device)
    return {
        "temperature": _temperature(cell),
        "seed": rows * 0x9E3779B97F4A7C1 + 1,
        "position": torch.full_like(rows, call),
    }


def _temperature(cell: Cell) -> torch.Tensor:
    return torch.full((cell.batch_size,), TEMPERATURE, device=cell.logits.device)


def _variant_options(cell: Cell, variant: str) -> dict[str, object]:
    device = cell.logits.device
    if variant == "plain":
        return {}
    if variant == "temperatures":
        # Every seventh row greedy, the others spread from 0.3 to 1.5.
        rows = torch.arange(cell.batch_size, device=device)
        spread = 0.3 + 1.2 * ((rows * 37) % 101).to(torch.float32) / 100
        return {"temperature": torch.where(rows % 7 == 3, 0.0, spread)}
    if variant == "logprobs":
        return {"logprobs": True, "log_sum_exp": True}
    if variant == "masked":
        generator = torch.Generator(device).manual_seed(11)
        shape = (cell.batch_size, (cell.vocab_size + 31) // 32)
        words = torch.randint(-(2**31), 2**31, shape, generator=generator, device=device, dtype=torch.int64)
        return {"allowed_tokens": words.to(torch.int32)}
    raise ValueError(f'Cannot time a draw as "variant" must be one of {VARIANTS}: current value is {variant}')


def _row_major_gemm(cell: Cell) -> tuple[str, list[Call]]:
    """The fastest product into `cell.logits`, found once for each cell."""
    if cell.gemm is None:
        weights = [cell.weight(call).t() for call in range(cell.num_calls)]

        def product(call: int) -> Call:
            states, weight = cell.hidden_states[call], weights[call]
            return lambda: torch.mm(states, weight, out=cell.logits)

        ways = [("hidden_states @ weight.T", [product(call) for call in range(cell.num_calls)])]
        _, method, calls = min(_time_ways(ways), key=lambda found: found[0])
        cell.gemm = (method, calls)
    return cell.gemm


def _time_ways(ways: list[tuple[str, list[Call]]]) -> list[tuple[float, str, list[Call]]]:
    """Times every way with both of NVIDIA's libraries."""
    found = []
    for backend in ("cublas", "cublaslt"):
        for method, calls in ways:
            chosen = [_with_backend(backend, call) for call in calls]
            found.append((quick_median(chosen), f"{method}, {backend}", chosen))
    return found


def _with_backend(backend: str, call: Call) -> Call:
    def run() -> None:
        torch.backends.cuda.preferred_blas_library(backend)
        call()

    return run


def _chain(first: Call, second: Call) -> Call:
    def run() -> None:
        first()
        second()

    return run


def _store(draw: Callable[[], torch.Tensor], token_ids: torch.Tensor) -> Call:
    """Draws and, outside of a graph only, copies the tokens to where they are looked at."""

    def run() -> None:
        drawn = draw()
        if not torch.cuda.is_current_stream_capturing():
            token_ids.copy_(drawn.view(token_ids.shape))

    return run


def _poisoned(cell: Cell, dtype: torch.dtype = torch.int32) -> torch.Tensor:
    return torch.full((cell.batch_size, 1), POISON, dtype=dtype, device=cell.logits.device)


def _seed_and_offset(cell: Cell, call: int) -> tuple[torch.Tensor, torch.Tensor]:
    device = cell.logits.device
    return torch.tensor([1234], device=device), torch.tensor([4 * call], device=device)


_compiled: list[Callable[..., torch.Tensor]] = []


def _compiled_draw() -> Callable[..., torch.Tensor]:
    if not _compiled:

        @torch.compile
        def draw(logits: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
            probabilities = torch.softmax(logits.float() / temperature[:, None], dim=-1)
            race = torch.empty_like(probabilities).exponential_(1.0)
            return torch.argmax(probabilities / race, dim=-1)

        _compiled.append(draw)
    return _compiled[0]


def _flashinfer():
    if importlib.util.find_spec("flashinfer") is None:
        raise Unavailable("flashinfer is not installed")
    try:
        import flashinfer
        import flashinfer.sampling
    except Exception as error:
        raise Unavailable(f"flashinfer cannot be imported: {error}") from error
    return flashinfer
