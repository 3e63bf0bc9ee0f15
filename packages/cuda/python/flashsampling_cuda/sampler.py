"""Draws for PyTorch tensors: `sample()`, calls that are prepared once and run many times, shards, logits in memory.

Every call runs on the current stream of the tensors' device and never waits for it.
A row's noise depends on its `(seed, position, draw_index)` alone: never use one of them twice.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import NamedTuple

import torch

from . import library
from .arguments import (
    RowValues,
    choice,
    dtype_code,
    fail,
    output,
    require_cuda,
    require_matrix,
    row_table,
    row_values,
)

_ROW_PARAMETERS = ("temperature", "seed", "position", "draw_index", "num_samples")


class SampleResult(NamedTuple):
    """What a call writes; `None` where it was not asked for.

    Also the type of `out=`: tensors given there are written instead of new ones.
    """

    token_ids: torch.Tensor | None = None  # [batch_size, max_num_samples] int32 or int64; -1 where there is no token
    logprobs: torch.Tensor | None = None  # [batch_size, max_num_samples] fp32, natural logarithm
    log_sum_exp: torch.Tensor | None = None  # [batch_size] fp32
    row_status: torch.Tensor | None = None  # [batch_size] int32, 0 is fine
    candidates: torch.Tensor | None = None  # [batch_size, max_num_samples] int64, bits of the packed winners


class PreparedSample:
    """One call with checked arguments: `run()` does nothing but call the C function.

    Seeds, positions and hidden states may be changed in place between runs; a CUDA graph may capture `run()`.

    Attributes:
        result: The outputs, overwritten by every run.
        args: The C struct.
        workspace: Scratch memory; runs that may overlap in time need prepared calls of their own.
    """

    def __init__(
        self,
        name: str,
        device: torch.device,
        args: ctypes.Structure,
        result: SampleResult,
        workspace: torch.Tensor | None,
        keep: tuple[object, ...],
    ) -> None:
        self.result = result
        self.args = args
        self.workspace = workspace
        self._keep = keep  # tensors whose addresses stand in args
        self._name = name
        self._device = device
        self._function: Callable[..., int] = getattr(library.load_library(), name)
        self._context = library.context(device_index(device))
        self._reference = ctypes.byref(args)

    def run(self, stream: int | None = None) -> SampleResult:
        """Queues the call.

        Args:
            stream: A `cudaStream_t`; default the current stream of the device.

        Returns:
            `result`.

        Raises:
            FlashSamplingError: The library refused the call or the launch failed.
        """
        if stream is None:
            stream = current_stream(self._device)
        status = self._function(self._context, self._reference, stream)
        if status != 0:
            library.check(self._name, status)
        return self.result


def sample(hidden_states: torch.Tensor, weight: torch.Tensor, **options: object) -> SampleResult:
    """Draws tokens inside the LM-head matmul; no logits are written.

    Takes the arguments of `prepare()`; the workspace is one that this device and stream keep.

    Returns:
        The outputs; they are ready when the stream has come so far.

    Raises:
        TypeError, ValueError: An argument is not acceptable.
        FlashSamplingError: The library refused the call.
    """
    options.setdefault("workspace", _SHARED)
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
    rows = {
        "temperature": temperature,
        "seed": seed,
        "position": position,
        "draw_index": draw_index,
        "num_samples": num_samples,
    }
    fields, keep = _row_fields(action, rows, logit_bias, batch_size, vocab_start + shard_rows, device)
    words = (vocab_start + shard_rows + 31) // 32
    mask, mask_stride = row_table(action, "allowed_tokens", allowed_tokens, torch.int32, batch_size, words, device)
    wanted = (logprobs, log_sum_exp, row_status, candidates)
    result = _outputs(action, out, wanted, batch_size, max_num_samples, device)
    space = _workspace(workspace, device, batch_size, max_num_samples)
    args = library.new_args(
        library.SampleArgs,
        batch_size=batch_size,
        hidden_size=hidden_size,
        shard_rows=shard_rows,
        vocab_start=vocab_start,
        max_num_samples=max_num_samples,
        dtype=dtype,
        noise_scheme=choice(action, "noise_scheme", noise_scheme, library.NOISE_SCHEMES),
        kernel=choice(action, "kernel", kernel, library.KERNELS),
        logprobs_mode=choice(action, "logprobs_mode", logprobs_mode, library.LOGPROBS_MODES),
        hidden_states=hidden_states.data_ptr(),
        hidden_states_stride=hidden_states_stride,
        weight=weight.data_ptr(),
        weight_stride=weight_stride,
        allowed_tokens=mask,
        allowed_tokens_stride=mask_stride,
        out_candidates=_address(result.candidates),
        workspace=space.data_ptr(),
        workspace_bytes=space.numel(),
        **fields,
        **_output_fields(result),
    )
    keep = (hidden_states, weight, allowed_tokens, *keep)
    return PreparedSample("flashsampling_sample", device, args, result, space, keep)


def sample_from_logits(logits: torch.Tensor, **options: object) -> SampleResult:
    """Draws tokens from logits in memory: the second half of a two-step sampler.

    Takes the arguments of `prepare_from_logits()`; the workspace is one that this device and stream keep.

    Raises:
        TypeError, ValueError: An argument is not acceptable.
        FlashSamplingError: The library refused the call.
    """
    options.setdefault("workspace", _SHARED)
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
    rows = {
        "temperature": temperature,
        "seed": seed,
        "position": position,
        "draw_index": draw_index,
        "num_samples": num_samples,
    }
    fields, keep = _row_fields(action, rows, logit_bias, batch_size, vocab_start + vocab_size, device)
    words = (vocab_start + vocab_size + 31) // 32
    mask, mask_stride = row_table(action, "allowed_tokens", allowed_tokens, torch.int32, batch_size, words, device)
    wanted = (logprobs, log_sum_exp, row_status, False)
    result = _outputs(action, out, wanted, batch_size, max_num_samples, device)
    space = _workspace(workspace, device, batch_size, max_num_samples)
    args = library.new_args(
        library.LogitsArgs,
        batch_size=batch_size,
        vocab_size=vocab_size,
        vocab_start=vocab_start,
        max_num_samples=max_num_samples,
        logits_type=dtype_code(action, "logits", logits, library.LOGITS_TYPES),
        noise_scheme=choice(action, "noise_scheme", noise_scheme, library.NOISE_SCHEMES),
        logprobs_mode=choice(action, "logprobs_mode", logprobs_mode, library.LOGPROBS_MODES),
        logits=logits.data_ptr(),
        logits_stride=stride,
        allowed_tokens=mask,
        allowed_tokens_stride=mask_stride,
        workspace=space.data_ptr(),
        workspace_bytes=space.numel(),
        **fields,
        **_output_fields(result),
    )
    keep = (logits, allowed_tokens, *keep)
    return PreparedSample("flashsampling_sample_from_logits", device, args, result, space, keep)


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
    rows = {
        "temperature": temperature,
        "seed": seed,
        "position": position,
        "draw_index": draw_index,
        "num_samples": num_samples,
    }
    fields, keep = _row_fields(action, rows, logit_bias, batch_size, 0, device)
    result = _outputs(action, out, (logprobs, log_sum_exp, row_status, False), batch_size, max_num_samples, device)
    args = library.new_args(
        library.MergeArgs,
        num_shards=num_shards,
        batch_size=batch_size,
        max_num_samples=max_num_samples,
        noise_scheme=choice(action, "noise_scheme", noise_scheme, library.NOISE_SCHEMES),
        logprobs_mode=choice(action, "logprobs_mode", logprobs_mode, library.LOGPROBS_MODES),
        candidates=candidates.data_ptr(),
        log_sum_exp=_address(shard_log_sum_exp),
        row_status=_address(shard_row_status),
        **fields,
        **_output_fields(result),
    )
    keep = (candidates, shard_log_sum_exp, shard_row_status, *keep)
    return PreparedSample("flashsampling_merge", device, args, result, None, keep).run()


def new_workspace(device: torch.device | str | int, batch_size: int = 256, max_num_samples: int = 1) -> torch.Tensor:
    """Allocates and prepares workspace on the current stream.

    Returns:
        Bytes, uint8. Calls that may overlap in time need one each.

    Raises:
        FlashSamplingError: The device is not served.
    """
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    index = device_index(device)
    size = library.workspace_bytes(index, batch_size, max_num_samples)
    space = torch.empty(size, dtype=torch.uint8, device=device)
    status = library.load_library().flashsampling_workspace_init(
        library.context(index), space.data_ptr(), size, current_stream(device)
    )
    library.check("flashsampling_workspace_init", status)
    return space


def device_index(device: torch.device) -> int:
    """Ordinal of a CUDA device; without one, that of the current device."""
    return torch.cuda.current_device() if device.index is None else device.index


def current_stream(device: torch.device) -> int:
    """Handle of the device's current stream."""
    return torch.cuda.current_stream(device).cuda_stream


# --- Helpers ---

# Stands for the workspace that a device and stream keep.
_SHARED = object()
_shared_workspaces: dict[tuple[int, int], torch.Tensor] = {}
_shared_lock = threading.Lock()


def _workspace(
    given: torch.Tensor | object | None, device: torch.device, batch_size: int, max_num_samples: int
) -> torch.Tensor:
    if isinstance(given, torch.Tensor):
        require_cuda("sample tokens", "workspace", given, device)
        if given.dtype != torch.uint8 or not given.is_contiguous():
            raise fail("sample tokens", "workspace", "contiguous uint8", given.dtype)
        return given
    if given is not _SHARED:
        return new_workspace(device, batch_size, max_num_samples)
    key = (device_index(device), current_stream(device))
    size = library.workspace_bytes(key[0], batch_size, max_num_samples)
    with _shared_lock:
        space = _shared_workspaces.get(key)
        if space is None or space.numel() < size:
            if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
                raise RuntimeError(
                    "Cannot sample tokens as a workspace must be made before a graph is captured: use prepare()"
                )
            space = new_workspace(device, batch_size, max_num_samples)
            _shared_workspaces[key] = space
    return space


def _row_fields(
    action: str,
    rows: dict[str, RowValues],
    logit_bias: torch.Tensor | None,
    batch_size: int,
    columns: int,
    device: torch.device,
) -> tuple[dict[str, object], tuple[object, ...]]:
    tensors = {name: row_values(action, name, rows[name], batch_size, device) for name in _ROW_PARAMETERS}
    fields: dict[str, object] = {name: _address(tensor) for name, tensor in tensors.items()}
    bias, stride = row_table(action, "logit_bias", logit_bias, torch.float32, batch_size, columns, device)
    fields["logit_bias"] = bias
    fields["logit_bias_stride"] = stride
    return fields, (logit_bias, *tensors.values())


def _outputs(
    action: str,
    out: SampleResult | None,
    wanted: tuple[bool, bool, bool, bool],
    batch_size: int,
    max_num_samples: int,
    device: torch.device,
) -> SampleResult:
    given = out or SampleResult()
    table, column = (batch_size, max_num_samples), (batch_size,)
    shapes = (table, column, column, table)
    dtypes = (torch.float32, torch.float32, torch.int32, torch.int64)
    names = SampleResult._fields[1:]
    others = (
        output(action, name, tensor, shape, (dtype,), device) if is_wanted or tensor is not None else None
        for name, tensor, shape, dtype, is_wanted in zip(names, given[1:], shapes, dtypes, wanted, strict=True)
    )
    token_ids = output(action, "token_ids", given.token_ids, table, (torch.int32, torch.int64), device)
    return SampleResult(token_ids, *others)


def _output_fields(result: SampleResult) -> dict[str, object]:
    is_int64 = result.token_ids is not None and result.token_ids.dtype == torch.int64
    return {
        "token_id_type": library.TOKEN_ID_TYPES["int64" if is_int64 else "int32"],
        "out_token_ids": _address(result.token_ids),
        "out_logprobs": _address(result.logprobs),
        "out_log_sum_exp": _address(result.log_sum_exp),
        "out_row_status": _address(result.row_status),
    }


def _address(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
