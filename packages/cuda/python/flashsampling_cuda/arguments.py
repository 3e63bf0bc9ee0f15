"""Checks of PyTorch tensors and their translation into the fields of the C structs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .library import DTYPES

# What a caller may hand in for one value per row: nothing, one value for all rows, a list, or a device tensor.
RowValues = torch.Tensor | Sequence[int] | Sequence[float] | int | float | None

TORCH_DTYPES = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}

_ROW_DTYPES: dict[str, tuple[torch.dtype, ...]] = {
    "temperature": (torch.float32,),
    "seed": (torch.int64, torch.uint64),
    "position": (torch.int64, torch.uint64),
    "draw_index": (torch.int32, torch.uint32),
    "num_samples": (torch.int32, torch.uint32),
}


def fail(action: str, name: str, rule: str, value: object) -> ValueError:
    """Makes the error of one argument, in the wording of every package of the project."""
    return ValueError(f'Cannot {action} as "{name}" must be {rule}: current value is {value}')


def require_cuda(action: str, name: str, tensor: torch.Tensor, device: torch.device | None = None) -> None:
    """Raises unless the tensor lives on a CUDA device, on `device` if one is given."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f'Cannot {action} as "{name}" must be a tensor: current value is {type(tensor).__name__}')
    if tensor.device.type != "cuda" or (device is not None and tensor.device != device):
        raise fail(action, name, f"on {device or 'a CUDA device'}", tensor.device)


def require_matrix(action: str, name: str, tensor: torch.Tensor, device: torch.device | None = None) -> int:
    """Checks a `[rows, columns]` tensor whose columns lie side by side.

    Returns:
        Elements between rows.
    """
    require_cuda(action, name, tensor, device)
    if tensor.dim() != 2:
        raise fail(action, name, "a matrix", f"a tensor of shape {tuple(tensor.shape)}")
    if tensor.shape[1] > 1 and tensor.stride(1) != 1:
        raise fail(action, name, "contiguous along its last dimension", f"strides {tensor.stride()}")
    # The stride of a single row is never used; PyTorch may report any value for it.
    return tensor.stride(0) if tensor.shape[0] > 1 else tensor.shape[1]


def dtype_code(action: str, name: str, tensor: torch.Tensor, codes: dict[str, int] = DTYPES) -> int:
    """Gives the ABI's code of a tensor's element type."""
    key = TORCH_DTYPES.get(tensor.dtype, "")
    if key not in codes:
        raise TypeError(
            f'Cannot {action} as "{name}" must be of type {" or ".join(codes)}: current value is {tensor.dtype}'
        )
    return codes[key]


def choice(action: str, name: str, value: str, codes: dict[str, int]) -> int:
    """Gives the ABI's code of a named choice."""
    if value not in codes:
        raise fail(action, name, " or ".join(repr(code) for code in codes), repr(value))
    return codes[value]


def row_values(action: str, name: str, values: RowValues, batch_size: int, device: torch.device) -> torch.Tensor | None:
    """Brings one value per row onto the device; `None` stays `None`, a tensor is used as it is.

    Returns:
        `[batch_size]` of the type that the ABI reads. 64-bit integers keep their bits.
    """
    if values is None:
        return None
    dtypes = _ROW_DTYPES[name]
    if isinstance(values, torch.Tensor):
        require_cuda(action, name, values, device)
        if values.dtype not in dtypes:
            raise TypeError(f'Cannot {action} as "{name}" must be of type {dtypes[0]}: current value is {values.dtype}')
        if values.shape != (batch_size,) or not values.is_contiguous():
            raise fail(action, name, f"contiguous with shape ({batch_size},)", f"shape {tuple(values.shape)}")
        return values
    items = list(values) if isinstance(values, Sequence) else [values] * batch_size
    if len(items) != batch_size:
        raise fail(action, name, f"one value or {batch_size}", f"{len(items)} values")
    if dtypes[0] != torch.float32:
        bits = 64 if dtypes[0] == torch.int64 else 32
        for item in items:
            if not isinstance(item, int) or not 0 <= item < 1 << bits:
                raise fail(action, name, f"an integer from 0 to 2**{bits} - 1", item)
        items = [item - (1 << bits) if item >> (bits - 1) else item for item in items]
    return torch.tensor(items, dtype=dtypes[0], device=device)


def row_table(
    action: str,
    name: str,
    table: torch.Tensor | None,
    dtype: torch.dtype,
    batch_size: int,
    columns: int,
    device: torch.device,
) -> tuple[int | None, int]:
    """Checks `[columns]` (one for all rows) or `[batch_size, columns]`, at least so many columns wide.

    Returns:
        Address and elements between rows: 0 where one row serves all.
    """
    if table is None:
        return None, 0
    require_cuda(action, name, table, device)
    if table.dtype != dtype:
        raise TypeError(f'Cannot {action} as "{name}" must be of type {dtype}: current value is {table.dtype}')
    if table.dim() == 1:
        table = table.unsqueeze(0)
    elif table.dim() != 2 or table.shape[0] != batch_size:
        raise fail(action, name, f"of shape (n,) or ({batch_size}, n)", f"shape {tuple(table.shape)}")
    if table.shape[1] < columns or (table.shape[1] > 1 and table.stride(1) != 1):
        raise fail(action, name, f"contiguous rows of at least {columns}", f"shape {tuple(table.shape)}")
    return table.data_ptr(), table.stride(0) if table.shape[0] > 1 else 0


def output(
    action: str,
    name: str,
    given: torch.Tensor | None,
    shape: tuple[int, ...],
    dtypes: tuple[torch.dtype, ...],
    device: torch.device,
) -> torch.Tensor:
    """Gives the caller's output after a check, or a new one of the first type."""
    if given is None:
        return torch.empty(shape, dtype=dtypes[0], device=device)
    require_cuda(action, name, given, device)
    if given.dtype not in dtypes:
        raise TypeError(f'Cannot {action} as "{name}" must be of type {dtypes[0]}: current value is {given.dtype}')
    flat_ok = len(shape) == 2 and shape[1] == 1 and given.shape == (shape[0],)
    if not (given.shape == shape or flat_ok) or not given.is_contiguous():
        raise fail(action, name, f"contiguous with shape {shape}", f"shape {tuple(given.shape)}")
    return given
