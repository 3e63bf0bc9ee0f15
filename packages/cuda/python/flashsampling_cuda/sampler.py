"""Draws for PyTorch tensors: `sample()`, calls that are prepared once and run many times, shards, logits in memory.

Every call runs on the current stream of the tensors' device and never waits for it.
A row's noise depends on its `(seed, position, draw_index)` alone: never use one of them twice.
"""

from __future__ import annotations

import torch

from . import library
from .arguments import RowValues, choice, dtype_code, fail, require_cuda, require_matrix
from .calls import PreparedSample, SampleResult, address, prepare_call, token_tables
from .workspaces import SHARED, choose_workspace, new_workspace

__all__ = [
    "PreparedSample",
    "SampleResult",
    "merge",
    "new_workspace",
    "prepare",
    "prepare_from_logits",
    "sample",
    "sample_from_logits",
]


def sample(hidden_states: torch.Tensor, weight: torch.Tensor, **options: object) -> SampleResult:
    """Draws tokens inside the LM-head matmul; no logits are written.

    Takes the arguments of `prepare()`; the workspace is one that this device and stream keep.

    Returns:
        The outputs; they are ready when the stream has come so far.

    Raises:
        TypeError, ValueError: An argument is not acceptable.
        FlashSamplingError: The library refused the call.
    """
    options.setdefault("workspace", SHARED)
    return prepare(hidden_states, weight, **options).run()  # type: ignore[arg-type]


def prepare(
    hidden_states: torch.Tensor,
    weight: torch.Tensor,
    *,
    temperature: RowValues = None,
    seed: RowValues = None,
    position: RowValues = None,
    draw_index: RowValues = None,
    num_samples: RowValues = None,
    max_num_samples: int = 1,
    logit_bias: torch.Tensor | None = None,
    allowed_tokens: torch.Tensor | None = None,
    vocab_start: int = 0,
    kernel: str = "auto",
    noise_scheme: str = "flash",
    logprobs_mode: str = "transformed",
    logprobs: bool = False,
    log_sum_exp: bool = False,
    row_status: bool = False,
    candidates: bool = False,
    out: SampleResult | None = None,
    workspace: torch.Tensor | object | None = None,
) -> PreparedSample:
    """Checks the arguments of a call and allocates what it needs, so that running it costs one C call.

    Args:
        hidden_states: `[batch_size, hidden_size]` bf16 or f16; rows may have a stride.
        weight: `[shard_rows, hidden_size]` of the same type; rows may have a stride.
        temperature: Per row, >= 0, 0 is greedy; default 1.
        seed: Per row, 64 bits; default 0.
        position: Per row, 64 bits, step of the request; default 0.
        draw_index: Per row, number of the first draw; default 0.
        num_samples: Per row, at most `max_num_samples`; default all of them.
        max_num_samples: Draws a row, columns of the outputs.
        logit_bias: `[n]` or `[batch_size, n]` fp32 by global token id, n >= vocab_start + shard_rows.
        allowed_tokens: `[words]` or `[batch_size, words]` int32 bitmask by global token id, bit 1 = allowed.
        vocab_start: Global token id of weight's first row.
        kernel: `auto`, `sm90a` or `smxx`.
        noise_scheme: `flash` or `vllm`.
        logprobs_mode: `transformed` or `raw` (before bias, mask and temperature).
        logprobs: Whether to return the log-probabilities of the drawn tokens.
        log_sum_exp: Whether to return the log-sum-exp of each row.
        row_status: Whether to return the status of each row.
        candidates: Whether to return the packed winners, for `merge()`.
        out: Tensors to write into; the type of `out.token_ids` chooses int32 or int64.
        workspace: Memory from `new_workspace()`; by default the call gets its own.

    Raises:
        TypeError, ValueError: An argument is not acceptable.
        FlashSamplingError: The device is not served.
    """
    action = "sample tokens"
    hidden_states_stride = require_matrix(action, "hidden_states", hidden_states)
    device = hidden_states.device
    weight_stride = require_matrix(action, "weight", weight, device)
    dtype = dtype_code(action, "hidden_states", hidden_states)
    if weight.dtype != hidden_states.dtype:
        raise TypeError(
            f'Cannot {action} as "weight" must be of the type of hidden_states, {hidden_states.dtype}: '
            f"current value is {weight.dtype}"
        )
    batch_size, hidden_size = hidden_states.shape
    if weight.shape[1] != hidden_size:
        raise fail(action, "weight", f"{hidden_size} elements wide", weight.shape[1])
    shard_rows = weight.shape[0]
    return prepare_call(
        "flashsampling_sample",
        library.SampleArgs,
        action,
        device,
        batch_size,
        max_num_samples,
        inputs=(hidden_states, weight),
        rows=(temperature, seed, position, draw_index, num_samples),
        tables=token_tables(logit_bias, allowed_tokens, vocab_start + shard_rows),
        noise_scheme=noise_scheme,
        logprobs_mode=logprobs_mode,
        out=out,
        wanted=(logprobs, log_sum_exp, row_status, candidates),
        workspace=choose_workspace(workspace, device, batch_size, max_num_samples),
        hidden_size=hidden_size,
        shard_rows=shard_rows,
        vocab_start=vocab_start,
        dtype=dtype,
        kernel=choice(action, "kernel", kernel, library.KERNELS),
        hidden_states=hidden_states.data_ptr(),
        hidden_states_stride=hidden_states_stride,
        weight=weight.data_ptr(),
        weight_stride=weight_stride,
    )


def sample_from_logits(logits: torch.Tensor, **options: object) -> SampleResult:
    """Draws tokens from logits in memory: the second half of a two-step sampler.

    Takes the arguments of `prepare_from_logits()`; the workspace is one that this device and stream keep.

    Raises:
        TypeError, ValueError: An argument is not acceptable.
        FlashSamplingError: The library refused the call.
    """
    options.setdefault("workspace", SHARED)
    return prepare_from_logits(logits, **options).run()  # type: ignore[arg-type]


def prepare_from_logits(
    logits: torch.Tensor,
    *,
    temperature: RowValues = None,
    seed: RowValues = None,
    position: RowValues = None,
    draw_index: RowValues = None,
    num_samples: RowValues = None,
    max_num_samples: int = 1,
    logit_bias: torch.Tensor | None = None,
    allowed_tokens: torch.Tensor | None = None,
    vocab_start: int = 0,
    noise_scheme: str = "flash",
    logprobs_mode: str = "transformed",
    logprobs: bool = False,
    log_sum_exp: bool = False,
    row_status: bool = False,
    out: SampleResult | None = None,
    workspace: torch.Tensor | object | None = None,
) -> PreparedSample:
    """Checks the arguments of a draw from `logits`, `[batch_size, vocab_size]` bf16, f16 or f32; see `prepare()`.

    Raises:
        TypeError, ValueError: An argument is not acceptable.
        FlashSamplingError: The device is not served.
    """
    action = "sample from logits"
    stride = require_matrix(action, "logits", logits)
    device = logits.device
    batch_size, vocab_size = logits.shape
    return prepare_call(
        "flashsampling_sample_from_logits",
        library.LogitsArgs,
        action,
        device,
        batch_size,
        max_num_samples,
        inputs=(logits,),
        rows=(temperature, seed, position, draw_index, num_samples),
        tables=token_tables(logit_bias, allowed_tokens, vocab_start + vocab_size),
        noise_scheme=noise_scheme,
        logprobs_mode=logprobs_mode,
        out=out,
        wanted=(logprobs, log_sum_exp, row_status, False),
        workspace=choose_workspace(workspace, device, batch_size, max_num_samples),
        vocab_size=vocab_size,
        vocab_start=vocab_start,
        logits_type=dtype_code(action, "logits", logits, library.LOGITS_TYPES),
        logits=logits.data_ptr(),
        logits_stride=stride,
    )


def merge(
    candidates: torch.Tensor,
    *,
    shard_log_sum_exp: torch.Tensor | None = None,
    shard_row_status: torch.Tensor | None = None,
    temperature: RowValues = None,
    seed: RowValues = None,
    position: RowValues = None,
    draw_index: RowValues = None,
    num_samples: RowValues = None,
    logit_bias: torch.Tensor | None = None,
    noise_scheme: str = "flash",
    logprobs_mode: str = "transformed",
    logprobs: bool = False,
    log_sum_exp: bool = False,
    row_status: bool = False,
    out: SampleResult | None = None,
) -> SampleResult:
    """Makes the winners of several shards the winners of the whole vocabulary.

    Args:
        candidates: `[num_shards, batch_size, max_num_samples]` int64, stacked `SampleResult.candidates`.
        shard_log_sum_exp: `[num_shards, batch_size]` fp32; needed for `logprobs` and `log_sum_exp`.
        shard_row_status: `[num_shards, batch_size]` int32; needed for `row_status`.

    The other arguments are those that the shards were drawn with, see `prepare()`.

    Raises:
        TypeError, ValueError: An argument is not acceptable.
        FlashSamplingError: The library refused the call.
    """
    action = "merge shards"
    require_cuda(action, "candidates", candidates)
    if candidates.dim() != 3 or candidates.dtype != torch.int64 or not candidates.is_contiguous():
        rule = "contiguous int64 of shape (num_shards, batch_size, max_num_samples)"
        raise fail(action, "candidates", rule, f"{candidates.dtype} of shape {tuple(candidates.shape)}")
    device = candidates.device
    num_shards, batch_size, max_num_samples = candidates.shape
    for name, tensor, dtype in (
        ("shard_log_sum_exp", shard_log_sum_exp, torch.float32),
        ("shard_row_status", shard_row_status, torch.int32),
    ):
        if tensor is None:
            continue
        require_cuda(action, name, tensor, device)
        if tensor.shape != (num_shards, batch_size) or tensor.dtype != dtype or not tensor.is_contiguous():
            rule = f"contiguous {dtype} of shape ({num_shards}, {batch_size})"
            raise fail(action, name, rule, f"{tensor.dtype} of shape {tuple(tensor.shape)}")
    return prepare_call(
        "flashsampling_merge",
        library.MergeArgs,
        action,
        device,
        batch_size,
        max_num_samples,
        inputs=(candidates, shard_log_sum_exp, shard_row_status),
        rows=(temperature, seed, position, draw_index, num_samples),
        tables={"logit_bias": (logit_bias, torch.float32, 0)},
        noise_scheme=noise_scheme,
        logprobs_mode=logprobs_mode,
        out=out,
        wanted=(logprobs, log_sum_exp, row_status, False),
        workspace=None,
        num_shards=num_shards,
        candidates=candidates.data_ptr(),
        log_sum_exp=address(shard_log_sum_exp),
        row_status=address(shard_row_status),
    ).run()
