"""Workspace of the library's calls: scratch memory on the device, and the device's current stream."""

from __future__ import annotations

import threading

import torch

from . import library
from .arguments import fail, require_cuda

# Stands for the workspace that a device and stream keep.
SHARED = object()
_shared_workspaces: dict[tuple[int, int], torch.Tensor] = {}
_shared_lock = threading.Lock()


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


def choose_workspace(
    given: torch.Tensor | object | None, device: torch.device, batch_size: int, max_num_samples: int
) -> torch.Tensor:
    """Gives the caller's workspace after a check, for `SHARED` the one that device and stream keep, else a new one.

    Raises:
        TypeError, ValueError: The caller's workspace is not acceptable.
        FlashSamplingError: The device is not served.
        RuntimeError: The shared workspace would have to grow while a graph is captured.
    """
    if isinstance(given, torch.Tensor):
        require_cuda("sample tokens", "workspace", given, device)
        if given.dtype != torch.uint8 or not given.is_contiguous():
            raise fail("sample tokens", "workspace", "contiguous uint8", given.dtype)
        return given
    if given is not SHARED:
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
