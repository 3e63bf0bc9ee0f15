"""Times calls on the GPU: one CUDA graph per contender, contenders in turn, events around each replay."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

Call = Callable[[], object]

# Replays that may wait in the queue: the GPU never waits for the host, and a stop does not take long.
QUEUE_DEPTH = 16


@dataclass
class Timed:
    """A contender as it is timed: several calls, each with inputs of its own, replayed as one sample."""

    name: str
    calls: Sequence[Call]
    is_graph: bool = False
    samples_us: list[float] = field(default_factory=list)  # of one call
    _graph: torch.cuda.CUDAGraph | None = None
    _pending: list[tuple[torch.cuda.Event, torch.cuda.Event]] = field(default_factory=list)

    def capture(self) -> str:
        """Captures the calls into a graph; a contender that cannot be captured is timed call by call.

        Returns:
            Why there is no graph; "" where there is one.
        """
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # Compiles, loads, allocates: all that must not happen inside a capture.
            for _ in range(2):
                for call in self.calls:
                    call()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=stream):
                for call in self.calls:
                    call()
        except Exception as error:
            torch.cuda.synchronize()
            return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        self._graph = graph
        self.is_graph = True
        return ""

    def enqueue(self, *, timed: bool) -> None:
        """Queues one sample."""
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        if self._graph is not None:
            self._graph.replay()
        else:
            for call in self.calls:
                call()
        after.record()
        if timed:
            self._pending.append((before, after))

    def collect(self) -> None:
        """Reads the finished events; the device must be synchronized."""
        for before, after in self._pending:
            self.samples_us.append(before.elapsed_time(after) * 1e3 / len(self.calls))
        self._pending.clear()


def time_in_turns(contenders: Sequence[Timed], *, seconds: float, warm_up_seconds: float, least_samples: int) -> None:
    """Times contenders in turn, each round in a random order.

    What ran before leaves traces: results in the cache that are still to be written, a clock that has fallen.
    A random order spreads them over all contenders.

    Args:
        contenders: Captured contenders; each gets as many samples as the others.
        seconds: Device time for each contender, on average.
        warm_up_seconds: Time that passes before the first sample counts.
        least_samples: Samples of each contender at least, however long they take.
    """
    started = time.monotonic()
    while time.monotonic() - started < warm_up_seconds:
        _round(contenders, 0, timed=False)
        torch.cuda.synchronize()
    started = time.monotonic()
    rounds = 0
    while rounds < least_samples or time.monotonic() - started < seconds * len(contenders):
        for _ in range(QUEUE_DEPTH):
            _round(contenders, rounds, timed=True)
            rounds += 1
            if rounds >= least_samples and time.monotonic() - started >= seconds * len(contenders):
                break
        torch.cuda.synchronize()
        for contender in contenders:
            contender.collect()


def quick_median(calls: Sequence[Call], replays: int = 8) -> float:
    """Median time of a call in microseconds, to choose between ways of doing the same."""
    timed = Timed("", calls)
    reason = timed.capture()
    if reason:
        raise RuntimeError(reason)
    for number in range(replays + 2):
        timed.enqueue(timed=number >= 2)
    torch.cuda.synchronize()
    timed.collect()
    ordered = sorted(timed.samples_us)
    return ordered[len(ordered) // 2]


def _round(contenders: Sequence[Timed], number: int, *, timed: bool) -> None:
    for contender in random.Random(number).sample(contenders, len(contenders)):
        contender.enqueue(timed=timed)
