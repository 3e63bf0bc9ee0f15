"""What the three functions that draw have in common: their outputs, the call once it is prepared, how it is made."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NamedTuple

import torch

from . import library
from .arguments import RowValues, choice, output, row_table, row_values
from .workspaces import current_stream, device_index

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


# A table by token id: the tensor, its type, and how many columns it must have.
TokenTable = tuple[torch.Tensor | None, torch.dtype, int]


def token_tables(
    logit_bias: torch.Tensor | None, allowed_tokens: torch.Tensor | None, token_end: int
) -> dict[str, TokenTable]:
    """Gives the tables of a shard whose token ids end before `token_end`."""
    return {
        "logit_bias": (logit_bias, torch.float32, token_end),
        "allowed_tokens": (allowed_tokens, torch.int32, (token_end + 31) // 32),
    }


def prepare_call(
    name: str,
    struct: type[ctypes.Structure],
    action: str,
    device: torch.device,
    batch_size: int,
    max_num_samples: int,
    *,
    inputs: tuple[torch.Tensor | None, ...],
    rows: tuple[RowValues, RowValues, RowValues, RowValues, RowValues],
    tables: dict[str, TokenTable],
    noise_scheme: str,
    logprobs_mode: str,
    out: SampleResult | None,
    wanted: tuple[bool, bool, bool, bool],
    workspace: torch.Tensor | None,
    **fields: object,
) -> PreparedSample:
    """Checks what all functions have in common and makes the call.

    Args:
        name: The C function.
        struct: That of its arguments.
        action: What the call does, for messages.
        device: Where all tensors are.
        batch_size: Rows.
        max_num_samples: Draws a row.
        inputs: Tensors whose addresses stand in `fields`.
        rows: temperature, seed, position, draw_index, num_samples.
        tables: By field.
        noise_scheme: As the user wrote it.
        logprobs_mode: As the user wrote it.
        out: The caller's outputs.
        wanted: Which of the outputs after `token_ids` to return.
        workspace: Checked; `None` for a call that takes none.
        fields: Those that only `struct` has.

    Raises:
        TypeError, ValueError: An argument is not acceptable.
    """
    keep: list[object] = [*inputs]
    for field, values in zip(_ROW_PARAMETERS, rows, strict=True):
        tensor = row_values(action, field, values, batch_size, device)
        fields[field] = address(tensor)
        keep.append(tensor)
    for field, (table, dtype, columns) in tables.items():
        fields[field], fields[f"{field}_stride"] = row_table(action, field, table, dtype, batch_size, columns, device)
        keep.append(table)
    result = _make_outputs(action, out, wanted, batch_size, max_num_samples, device)
    is_int64 = result.token_ids is not None and result.token_ids.dtype == torch.int64
    fields |= {
        "batch_size": batch_size,
        "max_num_samples": max_num_samples,
        "noise_scheme": choice(action, "noise_scheme", noise_scheme, library.NOISE_SCHEMES),
        "logprobs_mode": choice(action, "logprobs_mode", logprobs_mode, library.LOGPROBS_MODES),
        "token_id_type": library.TOKEN_ID_TYPES["int64" if is_int64 else "int32"],
        "out_token_ids": address(result.token_ids),
        "out_logprobs": address(result.logprobs),
        "out_log_sum_exp": address(result.log_sum_exp),
        "out_row_status": address(result.row_status),
    }
    if struct is library.SampleArgs:
        fields["out_candidates"] = address(result.candidates)
    if workspace is not None:
        fields |= {"workspace": workspace.data_ptr(), "workspace_bytes": workspace.numel()}
    return PreparedSample(name, device, library.new_args(struct, **fields), result, workspace, tuple(keep))


def address(tensor: torch.Tensor | None) -> int | None:
    """Where a tensor's elements are; `None` stays `None`."""
    return None if tensor is None else tensor.data_ptr()


def _make_outputs(
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
