"""Tests of the parts that need neither a GPU nor PyTorch: the plan, the file, the table, the promised lines."""

import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import itertools

import plan
import report


def record(contender: str, median: float, *, batch_size: int = 8, variant: str = "plain", case: str = "small") -> dict:
    return report.make_record(
        op="read" if contender == report.READ_CONTENDER else "sample",
        case=case,
        vocab_size=1000,
        hidden_size=500,
        batch_size=batch_size,
        dtype="bf16",
        variant=variant,
        contender=contender,
        samples_us=[median - 1, median, median + 3],
        is_graph=True,
        method="",
    )


class Plan(unittest.TestCase):
    def test_the_full_plan_holds_every_promised_cell(self) -> None:
        cells = {(cell.shape, cell.dtype, cell.batch_size): cell for cell in plan.full_plan()}
        for shape in ("small", "large"):
            for size in (1, 2, 4, 8, 16, 32, 64, 128, 256):
                cell = cells[(shape, "bf16", size)]
                self.assertEqual(cell.contenders, plan.ALL_CONTENDERS)
                self.assertEqual(cell.variants, plan.VARIANTS)
            self.assertIn((shape, "bf16", 1024), cells)
        self.assertEqual({shape for shape, _, _ in cells}, set(plan.SHAPES))
        self.assertTrue(any(dtype == "f16" for _, dtype, _ in cells))
        self.assertEqual(len(cells), len(plan.full_plan()))
        # A run that narrows nothing is the full plan.
        self.assertEqual(plan.narrow(plan.full_plan()), plan.full_plan())

    def test_every_entry_is_timed_once(self) -> None:
        for cell in plan.full_plan():
            self.assertEqual(len(set(cell.entries())), len(cell.entries()))
            self.assertEqual(cell.entries().count(("flashsampling", "plain")), 1)

    def test_narrow_keeps_what_was_asked_for_and_adds_named_cells(self) -> None:
        cells = plan.narrow(plan.full_plan(), shapes=["large"], batch_sizes=[3, 64], contenders=["flashsampling"])
        self.assertEqual([(cell.shape, cell.batch_size) for cell in cells], [("large", 3), ("large", 64)])
        self.assertEqual({cell.contenders for cell in cells}, {("flashsampling",)})
        self.assertEqual(plan.narrow(plan.quick_plan(), dtypes=["f16"]), [])

    def test_heads_are_made_once_each(self) -> None:
        for cells in (plan.narrow(plan.full_plan()), plan.quick_plan()):
            heads = [(cell.shape, cell.dtype) for cell in cells]
            changes = sum(a != b for a, b in itertools.pairwise(heads))
            self.assertEqual(changes, len(set(heads)) - 1)


class File(unittest.TestCase):
    def test_a_record_counts_the_bytes_of_weight_and_hidden_states(self) -> None:
        own = record("flashsampling", 10.0)
        self.assertEqual(own["bytes"], (1000 + 8) * 500 * 2)
        self.assertEqual(record(report.READ_CONTENDER, 10.0)["bytes"], 1000 * 500 * 2)
        self.assertEqual((own["medianUs"], own["p10Us"], own["p90Us"], own["samples"]), (10.0, 9.2, 12.4, 3))

    def test_the_file_is_json_with_a_record_a_line(self) -> None:
        records = [record("flashsampling", 10.0), record("cublas-gemm", 12.0)]
        content = {"schema": 1, "device": "x", "readRates": [{"method": "a"}], "records": records}
        text = report.format_report(content)
        self.assertEqual(json.loads(text), content)
        self.assertEqual(sum('"medianUs"' in line for line in text.splitlines()), 2)

    def test_the_folder_is_named_after_the_device(self) -> None:
        self.assertEqual(report.device_slug("NVIDIA H100 80GB HBM3"), "nvidia-h100-80gb-hbm3")


class Table(unittest.TestCase):
    def test_shows_times_ratios_and_the_share_of_the_ceiling(self) -> None:
        records = [record("cublas-gemm", 200.0), record("flashsampling", 190.0), record(report.READ_CONTENDER, 180.0)]
        text = report.table(records, 1.0)
        self.assertIn("190.0 x0.950 95%", text)
        self.assertIn("V=1000 D=500", text)

    def test_shows_what_was_not_timed_as_a_dash(self) -> None:
        records = [record("cublas-gemm", 200.0), record("flashsampling", 190.0, batch_size=16)]
        self.assertIn(" -", report.table(records, 1.0))


class Promises(unittest.TestCase):
    def lines(self, *records: dict) -> dict[str, report.Line]:
        return {line.title: line for line in report.promised_lines(list(records), 1.0)}

    def test_take_the_worst_cell(self) -> None:
        lines = self.lines(
            record("cublas-gemm", 100.0),
            record("flashsampling", 90.0),
            record("cublas-gemm", 100.0, batch_size=16),
            record("flashsampling", 101.0, batch_size=16),
        )
        line = lines["fused draw against the bare product"]
        self.assertEqual((line.worst, line.where, line.is_ok), (1.01, "small/bf16/b16", False))

    def test_measure_the_floor_up_to_64_rows_only(self) -> None:
        lines = self.lines(
            record("flashsampling", 104.0, batch_size=64),
            record(report.READ_CONTENDER, 100.0, batch_size=64),
            record("flashsampling", 300.0, batch_size=128),
            record(report.READ_CONTENDER, 100.0, batch_size=128),
        )
        line = lines["fused draw against the floor of the read rate, B <= 64"]
        # The floor counts the bytes of the hidden states too: 1064 rows at the rate of 1000 in 100 us.
        self.assertAlmostEqual(line.worst, 104.0 / 106.4)
        self.assertTrue(line.is_ok)

    def test_hold_variants_against_the_plain_draw_of_the_same_cell(self) -> None:
        lines = self.lines(record("flashsampling", 100.0), record("flashsampling", 104.0, variant="masked"))
        self.assertFalse(lines["masked against the plain draw"].is_ok)
        self.assertIsNone(lines["logprobs against the plain draw"].is_ok)

    def test_never_count_what_was_not_measured(self) -> None:
        for line in self.lines().values():
            self.assertIsNone(line.is_ok)
            self.assertIn("not measured", line.describe())


if __name__ == "__main__":
    unittest.main()
