"""What a run times: shapes, types, batch sizes, contenders and variants; plain Python."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

# Name of a shape: tokens, width.
SHAPES = {
    "small": (151_936, 4096),
    "large": (128_256, 8192),
    "qwen3-1.7b": (151_936, 2048),
    "gpt-oss": (201_088, 2880),
    "gemma-2-2b": (262_144, 2304),
}
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SOME_BATCH_SIZES = (1, 16, 64, 256)
LARGE_BATCH_SIZES = (512, 1024)
DTYPES = ("bf16", "f16")

ALL_CONTENDERS = (
    "cublas-gemm",
    "flashsampling",
    "flashsampling-portable",
    "flashsampling-two-step",
    "torch-multinomial",
    "flashinfer-gumbel",
    "flashinfer-topk-topp",
)
MAIN_CONTENDERS = ("cublas-gemm", "flashsampling", "flashsampling-portable")
QUICK_CONTENDERS = ("cublas-gemm", "flashsampling")
VARIANTS = ("plain", "temperatures", "logprobs", "masked")


@dataclass(frozen=True)
class PlannedCell:
    """One shape, type and batch size, and who is timed on it in turns."""

    shape: str
    dtype: str
    batch_size: int
    contenders: tuple[str, ...]
    variants: tuple[str, ...]  # of `flashsampling`; the others draw plainly

    def entries(self) -> list[tuple[str, str]]:
        """Contender and variant of everything that is timed."""
        own = [("flashsampling", variant) for variant in self.variants if "flashsampling" in self.contenders]
        return [(name, "plain") for name in self.contenders if name != "flashsampling"] + own


def full_plan() -> list[PlannedCell]:
    """The published plan, ordered so that each head is made once."""
    plan = []
    for shape in ("small", "large"):
        plan += [PlannedCell(shape, "bf16", size, ALL_CONTENDERS, VARIANTS) for size in BATCH_SIZES]
        plan += [PlannedCell(shape, "bf16", size, MAIN_CONTENDERS, ("plain",)) for size in LARGE_BATCH_SIZES]
    for shape in ("qwen3-1.7b", "gpt-oss", "gemma-2-2b"):
        plan += [PlannedCell(shape, "bf16", size, MAIN_CONTENDERS, ("plain",)) for size in SOME_BATCH_SIZES]
    plan += [PlannedCell("small", "f16", size, MAIN_CONTENDERS, ("plain",)) for size in SOME_BATCH_SIZES]
    return plan


def quick_plan() -> list[PlannedCell]:
    """Fused draw against the bare product on the two main shapes."""
    return [
        PlannedCell(shape, "bf16", size, QUICK_CONTENDERS, ("plain",))
        for shape in ("small", "large")
        for size in BATCH_SIZES
    ]


def narrow(
    plan: Iterable[PlannedCell],
    *,
    shapes: Collection[str] = (),
    dtypes: Collection[str] = (),
    batch_sizes: Collection[int] = (),
    contenders: Collection[str] = (),
    variants: Collection[str] = (),
) -> list[PlannedCell]:
    """Makes the cells that were asked for; an empty collection asks for what the plan holds.

    Cells that the plan lacks are added where shape and batch size are both named.
    """
    plan = list(plan)
    held = {(cell.shape, cell.dtype, cell.batch_size): cell for cell in plan}
    if shapes and batch_sizes:
        for shape in shapes:
            for dtype in dtypes or ("bf16",):
                for size in batch_sizes:
                    cell = PlannedCell(shape, dtype, size, MAIN_CONTENDERS, ("plain",))
                    held.setdefault((shape, dtype, size), cell)
    order = list(SHAPES)
    found = []
    for cell in sorted(
        held.values(), key=lambda cell: (DTYPES.index(cell.dtype), order.index(cell.shape), cell.batch_size)
    ):
        if shapes and cell.shape not in shapes:
            continue
        if dtypes and cell.dtype not in dtypes:
            continue
        if batch_sizes and cell.batch_size not in batch_sizes:
            continue
        chosen = tuple(contenders) or cell.contenders
        found.append(PlannedCell(cell.shape, cell.dtype, cell.batch_size, chosen, tuple(variants) or cell.variants))
    return found
