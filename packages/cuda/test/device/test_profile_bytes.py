"""Reads a table as Nsight Compute prints it."""

import contextlib
import io
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import profile_bytes

HEADINGS = '"ID","Process ID","Process Name","Kernel Name","Metric Name","Metric Unit","Metric Value"'


def row(launch: int, kernel: str, metric: str, value: str) -> str:
    return f'"{launch}","1","python3","{kernel}","{metric}","byte","{value}"'


def table(read: str, written: str) -> str:
    lines = ["==PROF== Connected to process 1", HEADINGS]
    for launch, kernel in (
        (0, "hypot_kernel<float, 4>"),
        (1, "flashsampling::sample(a, b)"),
        (2, "flashsampling::last()"),
    ):
        is_marker = launch == 0
        lines.append(row(launch, kernel, "dram__bytes_read.sum", "7" if is_marker else read))
        lines.append(row(launch, kernel, "dram__bytes_write.sum", "7" if is_marker else written))
    return "\n".join(lines)


class Report(unittest.TestCase):
    def test_sums_the_launches_of_a_call(self) -> None:
        [call] = profile_bytes.read_counters(table("1,000,000", "32"))
        self.assertEqual(call["launches"], 2)
        self.assertEqual(call["dram__bytes_read.sum"], 2_000_000)
        self.assertEqual(call["dram__bytes_write.sum"], 64)

    def test_holds_reads_and_writes_against_the_contract(self) -> None:
        for read, written, size, exit_code in (
            ("1,000,000", "32", 2_000_000, 0),
            ("1,000,000", "32", 1_950_000, 1),
            ("1,000,000", "32", 2_100_000, 1),
            ("1,000,000", "500,000", 2_000_000, 1),
        ):
            with contextlib.redirect_stdout(io.StringIO()):
                found = profile_bytes.report_bytes([{"name": "x", "bytes": size, "launches": 2}], table(read, written))
            self.assertEqual(found, exit_code)

    def test_counts_the_launches_unless_they_are_free(self) -> None:
        for launches, exit_code in ((2, 0), (None, 0), (1, 1)):
            plan = [{"name": "x", "bytes": 2_000_000, "launches": launches}]
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(profile_bytes.report_bytes(plan, table("1,000,000", "32")), exit_code)

    def test_fails_where_nothing_was_profiled(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(profile_bytes.report_bytes([{"name": "x", "bytes": 1, "launches": 1}], "==ERROR=="), 1)


if __name__ == "__main__":
    unittest.main()
