"""Plain reads of device memory: `read_ceiling.cu`, compiled by nvcc when it is first needed."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from ctypes import c_char_p, c_int, c_uint64, c_void_p
from pathlib import Path

import torch

SOURCE = Path(__file__).resolve().parent / "read_ceiling.cu"


class ReadCeilingUnavailable(RuntimeError):
    """The reads cannot be compiled or run here."""


class ReadCeiling:
    """The compiled reads.

    Attributes:
        methods: Their names.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(_compile()))
        self._library.read_ceiling_method_name.restype = c_char_p
        self._library.read_ceiling_method_name.argtypes = [c_int]
        self._run = self._library.read_ceiling_run
        self._run.argtypes = [c_int, c_void_p, c_uint64, c_void_p, c_void_p]
        self._run.restype = c_int
        self._sink = torch.zeros(1, dtype=torch.int32, device="cuda")
        count = self._library.read_ceiling_num_methods()
        self.methods = [self._library.read_ceiling_method_name(method).decode() for method in range(count)]

    def run(self, method: int, data: torch.Tensor) -> None:
        """Reads a tensor once, on the current stream.

        Raises:
            ReadCeilingUnavailable: This GPU lacks the method, or the launch failed.
        """
        size = data.numel() * data.element_size() // 16 * 16
        stream = torch.cuda.current_stream().cuda_stream
        error = self._run(method, data.data_ptr(), size, self._sink.data_ptr(), stream)
        if error != 0:
            raise ReadCeilingUnavailable(f"{self.methods[method]}: CUDA error {error}")


def _compile() -> Path:
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not Path(nvcc).is_file():
        raise ReadCeilingUnavailable("nvcc is not installed")
    major, minor = torch.cuda.get_device_capability()
    target = Path(tempfile.mkdtemp(prefix="read-ceiling-")) / "read_ceiling.so"
    architecture = f"-gencode=arch=compute_{major}{minor},code=sm_{major}{minor}"
    options = ["-O3", "-std=c++17", "-shared", "-Xcompiler", "-fPIC", "-cudart", "static", architecture]
    result = subprocess.run([nvcc, *options, "-o", str(target), str(SOURCE)], capture_output=True, text=True)
    if result.returncode != 0:
        raise ReadCeilingUnavailable(f"nvcc failed: {result.stderr.strip()}")
    return target
