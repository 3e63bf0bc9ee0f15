"""The shared library as Python sees it: structs of `flashsampling.h`, prototypes, loading, and errors from a status.

Nothing here needs PyTorch or a GPU; `packages/cuda/python/tests` compares the structs with the C compiler's.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from ctypes import c_char, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from pathlib import Path

ABI_VERSION = 1
LIBRARY_NAME = "libflashsampling.so"
LIBRARY_VARIABLE = "FLASHSAMPLING_NATIVE_PATH"

# --- Enums of the header ---

# Without their prefix, which also marks environment variables.
_STATUSES = (
    "OK",
    "INVALID_ARGUMENT",
    "NOT_SERVED",
    "UNSUPPORTED_DEVICE",
    "UNAVAILABLE",
    "CUDA_ERROR",
    "WORKSPACE_TOO_SMALL",
    "OUT_OF_MEMORY",
)
STATUS_NAMES = tuple("FLASHSAMPLING_" + name for name in _STATUSES)
(
    OK,
    INVALID_ARGUMENT,
    NOT_SERVED,
    UNSUPPORTED_DEVICE,
    UNAVAILABLE,
    CUDA_ERROR,
    WORKSPACE_TOO_SMALL,
    OUT_OF_MEMORY,
) = range(len(STATUS_NAMES))

DTYPES = {"bf16": 0, "f16": 1}
LOGITS_TYPES = {"bf16": 0, "f16": 1, "f32": 2}
NOISE_SCHEMES = {"flash": 0, "vllm": 1}
KERNELS = {"auto": 0, "sm90a": 1, "smxx": 2}
LOGPROBS_MODES = {"transformed": 0, "raw": 1}
TOKEN_ID_TYPES = {"int32": 0, "int64": 1}

ROW_OK, ROW_INVALID_LOGITS, ROW_ALL_TOKENS_MASKED, ROW_INVALID_PARAMETERS = range(4)


class FlashSamplingError(RuntimeError):
    """A function of the library failed.

    Attributes:
        status: The `flashsampling_status`, for example 1.
        status_name: Its name in the header, which ends with `INVALID_ARGUMENT` for 1.
        operation: The function that failed.
    """

    def __init__(self, operation: str, status: int, text: str) -> None:
        self.operation = operation
        self.status = status
        self.status_name = STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else f"status {status}"
        super().__init__(f"{text or operation + ' failed'} ({self.status_name})")


class LibraryUnavailableError(RuntimeError):
    """`libflashsampling.so` is missing, cannot be loaded, or has another ABI version."""


# --- Structs of the header, field by field ---


class DeviceProperties(ctypes.Structure):
    """`flashsampling_device_properties`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("device_index", c_int32),
        ("name", c_char * 256),
        ("compute_major", c_int32),
        ("compute_minor", c_int32),
        ("num_multiprocessors", c_int32),
        ("l2_bytes", c_int32),
        ("total_memory_bytes", c_uint64),
        ("driver_version", c_int32),
        ("runtime_version", c_int32),
        ("serves_sm90a", c_int32),
        ("serves_smxx", c_int32),
    ]


# Fields that stand side by side in several structs.
_ROW_FIELDS = [
    ("temperature", c_void_p),
    ("seed", c_void_p),
    ("position", c_void_p),
    ("draw_index", c_void_p),
    ("num_samples", c_void_p),
    ("logit_bias", c_void_p),
    ("logit_bias_stride", c_int64),
]
_OUTPUT_FIELDS = [
    ("out_token_ids", c_void_p),
    ("out_logprobs", c_void_p),
    ("out_log_sum_exp", c_void_p),
    ("out_row_status", c_void_p),
]


class SampleArgs(ctypes.Structure):
    """`flashsampling_sample_args`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("batch_size", c_uint32),
        ("hidden_size", c_uint32),
        ("shard_rows", c_uint32),
        ("vocab_start", c_uint32),
        ("max_num_samples", c_uint32),
        ("dtype", c_uint32),
        ("noise_scheme", c_uint32),
        ("kernel", c_uint32),
        ("logprobs_mode", c_uint32),
        ("token_id_type", c_uint32),
        ("reserved", c_uint32),
        ("hidden_states", c_void_p),
        ("hidden_states_stride", c_int64),
        ("weight", c_void_p),
        ("weight_stride", c_int64),
        *_ROW_FIELDS,
        ("allowed_tokens", c_void_p),
        ("allowed_tokens_stride", c_int64),
        ("top_k", c_void_p),
        ("top_p", c_void_p),
        ("min_p", c_void_p),
        ("repetition_penalty", c_void_p),
        ("presence_penalty", c_void_p),
        ("frequency_penalty", c_void_p),
        ("prompt_token_mask", c_void_p),
        ("output_token_counts", c_void_p),
        *_OUTPUT_FIELDS,
        ("out_candidates", c_void_p),
        ("workspace", c_void_p),
        ("workspace_bytes", c_uint64),
    ]


class MergeArgs(ctypes.Structure):
    """`flashsampling_merge_args`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("num_shards", c_uint32),
        ("batch_size", c_uint32),
        ("max_num_samples", c_uint32),
        ("noise_scheme", c_uint32),
        ("logprobs_mode", c_uint32),
        ("token_id_type", c_uint32),
        ("reserved", c_uint32),
        ("candidates", c_void_p),
        ("log_sum_exp", c_void_p),
        ("row_status", c_void_p),
        *_ROW_FIELDS,
        *_OUTPUT_FIELDS,
    ]


class LogitsArgs(ctypes.Structure):
    """`flashsampling_logits_args`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("batch_size", c_uint32),
        ("vocab_size", c_uint32),
        ("vocab_start", c_uint32),
        ("max_num_samples", c_uint32),
        ("logits_type", c_uint32),
        ("noise_scheme", c_uint32),
        ("token_id_type", c_uint32),
        ("logprobs_mode", c_uint32),
        ("reserved", c_uint32),
        ("logits", c_void_p),
        ("logits_stride", c_int64),
        *_ROW_FIELDS,
        ("allowed_tokens", c_void_p),
        ("allowed_tokens_stride", c_int64),
        *_OUTPUT_FIELDS,
        ("workspace", c_void_p),
        ("workspace_bytes", c_uint64),
    ]


# Name in the header of every struct above.
STRUCTS: dict[str, type[ctypes.Structure]] = {
    "flashsampling_device_properties": DeviceProperties,
    "flashsampling_sample_args": SampleArgs,
    "flashsampling_merge_args": MergeArgs,
    "flashsampling_logits_args": LogitsArgs,
}

# Functions that return a status, with their parameters.
_FUNCTIONS = {
    "flashsampling_device_count": [ctypes.POINTER(c_int32)],
    "flashsampling_device_properties_get": [c_int32, ctypes.POINTER(DeviceProperties)],
    "flashsampling_context_create": [c_int32, ctypes.POINTER(c_void_p)],
    "flashsampling_context_destroy": [c_void_p],
    "flashsampling_workspace_bytes": [c_void_p, c_uint32, c_uint32, ctypes.POINTER(c_uint64)],
    "flashsampling_workspace_init": [c_void_p, c_void_p, c_uint64, c_void_p],
    "flashsampling_sample": [c_void_p, ctypes.POINTER(SampleArgs), c_void_p],
    "flashsampling_merge": [c_void_p, ctypes.POINTER(MergeArgs), c_void_p],
    "flashsampling_sample_from_logits": [c_void_p, ctypes.POINTER(LogitsArgs), c_void_p],
}


def library_path() -> Path:
    """Gives the file that `load_library()` loads.

    `FLASHSAMPLING_NATIVE_PATH` may name the library, the folder that holds it, or a file beside it (the Node addon);
    by default it is the prebuilt library of this package.
    """
    given = os.environ.get(LIBRARY_VARIABLE, "")
    if given:
        path = Path(given)
        if path.is_dir():
            return path / LIBRARY_NAME
        return path if path.suffix == ".so" else path.with_name(LIBRARY_NAME)
    machine = {"x86_64": "x64", "AMD64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return Path(__file__).resolve().parents[2] / "prebuilds" / f"{sys.platform}-{machine}" / LIBRARY_NAME


_library: ctypes.CDLL | None = None


def load_library() -> ctypes.CDLL:
    """Loads `libflashsampling.so` once and declares its functions.

    Returns:
        The library; its functions return a status, see `check()`.

    Raises:
        LibraryUnavailableError: The file is missing, cannot be loaded, or has another ABI version.
    """
    global _library
    if _library is None:
        path = library_path()
        if not path.is_file():
            raise LibraryUnavailableError(
                f'Cannot load {LIBRARY_NAME} as "{path}" does not exist: build it with '
                f"packages/cuda/scripts/build-native.mjs or set {LIBRARY_VARIABLE}"
            )
        try:
            library = ctypes.CDLL(str(path))
            _declare(library)
        except (OSError, AttributeError) as error:
            raise LibraryUnavailableError(f'Cannot load "{path}": {error}') from error
        version = library.flashsampling_abi_version()
        if version != ABI_VERSION:
            raise LibraryUnavailableError(
                f'Cannot use "{path}" as its ABI version must be {ABI_VERSION}: current value is {version}'
            )
        _library = library
    return _library


def _declare(library: ctypes.CDLL) -> None:
    for name, parameters in _FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes = parameters
        function.restype = c_int32
    for name in ("flashsampling_version", "flashsampling_last_error"):
        getattr(library, name).argtypes = []
        getattr(library, name).restype = c_char_p
    library.flashsampling_abi_version.argtypes = []
    library.flashsampling_abi_version.restype = c_uint32
    library.flashsampling_status_name.argtypes = [c_int32]
    library.flashsampling_status_name.restype = c_char_p


def last_error() -> str:
    """Text of this thread's last failure, "" before the first."""
    return (load_library().flashsampling_last_error() or b"").decode("utf-8", "replace")


def check(operation: str, status: int) -> None:
    """Turns a status into an exception.

    Raises:
        FlashSamplingError: `status` is not 0; the message is the library's own text.
    """
    if status != OK:
        raise FlashSamplingError(operation, status, last_error())


def new_args(struct: type[ctypes.Structure], **fields: object) -> ctypes.Structure:
    """Makes a zeroed struct with its `struct_size` and the given fields."""
    args = struct()
    args.struct_size = ctypes.sizeof(struct)
    for name, value in fields.items():
        setattr(args, name, value)
    return args


def version() -> str:
    """Semantic version of the library."""
    return load_library().flashsampling_version().decode()


_contexts: dict[int, c_void_p] = {}


def context(device_index: int) -> c_void_p:
    """Gives the context of one GPU, made at the first call and kept until the process ends.

    Raises:
        FlashSamplingError: There is no such device, or the library does not serve it.
    """
    found = _contexts.get(device_index)
    if found is None:
        found = c_void_p()
        check(
            "flashsampling_context_create",
            load_library().flashsampling_context_create(device_index, ctypes.byref(found)),
        )
        _contexts[device_index] = found
    return found


def device_properties(device_index: int) -> DeviceProperties:
    """Properties of one GPU.

    Raises:
        FlashSamplingError: There is no such device, or no driver.
    """
    properties = new_args(DeviceProperties)
    check(
        "flashsampling_device_properties_get",
        load_library().flashsampling_device_properties_get(device_index, ctypes.byref(properties)),
    )
    return properties


def workspace_bytes(device_index: int, batch_size: int, max_num_samples: int = 1) -> int:
    """Bytes of workspace that calls with this batch and so many draws a row need."""
    size = c_uint64()
    check(
        "flashsampling_workspace_bytes",
        load_library().flashsampling_workspace_bytes(
            context(device_index), batch_size, max_num_samples, ctypes.byref(size)
        ),
    )
    return size.value
