"""FlashSampling on CUDA for PyTorch tensors: a thin ctypes binding of `libflashsampling.so`, nothing to compile.

```python
import torch
from flashsampling_cuda import sample

hidden_states = torch.randn(4, 4096, dtype=torch.bfloat16, device="cuda")
weight = torch.randn(151936, 4096, dtype=torch.bfloat16, device="cuda") * 0.02
result = sample(hidden_states, weight, temperature=0.8, seed=[1, 2, 3, 4], position=0)
result.token_ids  # [4, 1] int32
```
"""

from .library import (
    FlashSamplingError,
    LibraryUnavailableError,
    device_properties,
    library_path,
    version,
    workspace_bytes,
)

_NEEDS_TORCH = (
    "PreparedSample",
    "SampleResult",
    "merge",
    "new_workspace",
    "prepare",
    "prepare_from_logits",
    "sample",
    "sample_from_logits",
)

__all__ = [
    "FlashSamplingError",
    "LibraryUnavailableError",
    "device_properties",
    "library_path",
    "version",
    "workspace_bytes",
    *_NEEDS_TORCH,
]


def __getattr__(name: str) -> object:
    # PyTorch is imported with the first function that takes tensors, so that the structs are usable without it.
    if name in _NEEDS_TORCH:
        from . import sampler

        return getattr(sampler, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
