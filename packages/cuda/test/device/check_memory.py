"""A call allocates nothing, on the host's view and the driver's, and its workspace stays small."""

from __future__ import annotations

import torch
from cases import normal_weight, real_case
from flashsampling_cuda import prepare, workspace_bytes
from harness import Context

MEBIBYTE = 1 << 20


def check_memory(context: Context) -> None:
    """Workspace, PyTorch's allocator, the driver's free memory."""
    if context.device.type != "cuda":
        context.skip("memory", "the device is no GPU")
        return
    index = context.device.index or 0
    for batch_size, samples in ((1, 1), (256, 1), (256, 8), (1024, 1)):
        size = workspace_bytes(index, batch_size, samples)
        context.check(f"workspace of B={batch_size}, {samples} draws is below 1 MiB", size < MEBIBYTE, f"{size} bytes")
    weight = normal_weight(context, 151_936, 1024, 7, torch.bfloat16)
    for kernel in context.kernels:
        for batch_size in (1, 256):
            case = real_case(context, batch_size, 151_936, 1024, seed=1, weight=weight)
            prepared = prepare(
                case.hidden_states, weight, kernel=kernel, logprobs=True, log_sum_exp=True, **case.rows.options()
            )
            # The first call loads the kernel.
            prepared.run()
            torch.cuda.synchronize()
            free, _ = torch.cuda.mem_get_info(context.device)
            stats = torch.cuda.memory_stats(context.device)
            lowest = free
            for _ in range(50):
                prepared.run()
                lowest = min(lowest, torch.cuda.mem_get_info(context.device)[0])
            torch.cuda.synchronize()
            lowest = min(lowest, torch.cuda.mem_get_info(context.device)[0])
            after = torch.cuda.memory_stats(context.device)
            allocations = after["allocation.all.allocated"] - stats["allocation.all.allocated"]
            name = f"{kernel}: 50 calls at B={batch_size} allocate nothing"
            context.check(
                name, free == lowest and allocations == 0, f"{free - lowest} bytes, {allocations} allocations"
            )
