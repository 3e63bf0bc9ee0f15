"""Counts checks and prints one line for each; common to all sections of `check_kernels.py`."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch


@dataclass
class Context:
    """One run of the checks."""

    device: torch.device
    is_quick: bool
    kernels: tuple[str, ...]  # names of the kernels that this GPU serves
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    lines: list[dict[str, object]] = field(default_factory=list)
    section: str = ""

    def generator(self, seed: int) -> torch.Generator:
        """A generator on the device; every check has seeds of its own."""
        generator = torch.Generator(self.device)
        generator.manual_seed(seed)
        return generator

    def check(self, name: str, is_ok: bool, detail: str = "") -> bool:
        """Records one check."""
        if is_ok:
            self.passed += 1
        else:
            self.failed += 1
        self._print("ok  " if is_ok else "FAIL", name, detail)
        return is_ok

    def skip(self, name: str, reason: str) -> None:
        """Records a check that cannot run here."""
        self.skipped += 1
        self._print("skip", name, reason)

    def note(self, name: str, detail: str) -> None:
        """Prints a measured figure that is no check."""
        self._print("note", name, detail)

    def check_error(
        self, name: str, action: Callable[[], object], errors: tuple[type[Exception], ...], text: str
    ) -> None:
        """Records whether an action raises one of the errors with a text in its message."""
        try:
            action()
        except errors as error:
            self.check(name, text.lower() in str(error).lower(), f"{type(error).__name__}: {error}")
            return
        self.check(name, False, f"nothing was raised, expected {text!r}")

    def run_section(self, name: str, function: Callable[[Context], None]) -> None:
        """Runs the checks of a section; one that dies is a failure, and the next section runs."""
        self.section = name
        started = time.monotonic()
        try:
            function(self)
        except Exception as error:
            traceback.print_exc()
            self.check("the section runs to its end", False, f"{type(error).__name__}: {error}")
        self.note("time", f"{time.monotonic() - started:.1f} s")

    def write(self, folder: Path, extra: dict[str, object]) -> None:
        """Writes every line as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        counts = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
        (folder / "check-kernels.json").write_text(
            json.dumps({**extra, **counts, "checks": self.lines}, indent=1) + "\n"
        )

    def _print(self, state: str, name: str, detail: str) -> None:
        self.lines.append({"section": self.section, "state": state.strip(), "name": name, "detail": detail})
        print(f"{state} {self.section}: {name}{' — ' + detail if detail else ''}", flush=True)


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors hold the same bits; NaN equals itself."""
    if first.dtype.is_floating_point:
        first, second = first.view(torch.int32), second.view(torch.int32)
    return torch.equal(first, second)
