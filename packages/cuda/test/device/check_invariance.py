"""A row's token does not change, bit for bit, with anything but its own inputs."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from cases import Case, integer_case, mixed_bias, random_mask, real_case, run
from flashsampling_cuda import SampleResult, merge, new_workspace, prepare, sample_from_logits
from harness import Context, same_bits

ROWS = 300


def check_invariance(context: Context) -> None:
    """Batch, kernel, shards, graph, stream, workspace, repetition."""
    for kernel in context.kernels:
        _check_batches(context, kernel)
        _check_shards(context, kernel)
        _check_repetition(context, kernel)
        _check_workspace(context, kernel)
        if context.device.type == "cuda":
            _check_graph(context, kernel)
            _check_streams(context, kernel)
        else:
            context.skip("graphs and streams", "the device is no GPU")
    if len(context.kernels) > 1:
        _check_kernels(context)
    else:
        context.skip("kernels agree on integers", f"this GPU serves {context.kernels} only")


def _base(context: Context, **fields: object) -> Case:
    case = real_case(context, ROWS, 10_007, 576, seed=4242, vocab_start=5, max_num_samples=2, **fields)
    mask = random_mask(context, ROWS, 10_012, 4, every=2)
    # Every third row is masked; the others may draw every token.
    mask[torch.arange(ROWS, device=context.device) % 3 != 0] = -1
    return dataclasses.replace(case, rows=dataclasses.replace(case.rows, allowed_tokens=mask))


def _check_batches(context: Context, kernel: str) -> None:
    case = _base(context)
    index = torch.arange(ROWS, device=context.device)
    alone = [run(case.pick(index[row : row + 1]), kernel) for row in range(ROWS)]
    token_ids = torch.cat([result.token_ids for result in alone])
    candidates = torch.cat([result.candidates for result in alone])
    generator = context.generator(9)
    sizes = (
        (2, 9, 64, 256, 300)
        if context.is_quick
        else (
            2,
            3,
            4,
            7,
            8,
            9,
            15,
            16,
            17,
            31,
            32,
            33,
            48,
            63,
            64,
            65,
            96,
            127,
            128,
            129,
            160,
            191,
            192,
            193,
            255,
            256,
            257,
            300,
        )
    )
    changed = []
    for size in sizes:
        for repetition in range(1 if context.is_quick else 3):
            order = torch.randperm(ROWS, generator=generator, device=context.device)[:size]
            result = run(case.pick(order), kernel)
            if not (
                torch.equal(result.token_ids, token_ids[order]) and torch.equal(result.candidates, candidates[order])
            ):
                changed.append((size, repetition))
    name = f"{kernel}: tokens and scores of {ROWS} rows are the same alone and in batches of {sizes[0]} to {sizes[-1]}"
    context.check(
        name, not changed, f"changed in batches {changed}" if changed else f"{len(sizes)} sizes, rows shuffled"
    )


def _check_shards(context: Context, kernel: str) -> None:
    for logprobs_mode in ("transformed", "raw"):
        case = dataclasses.replace(_base(context, logprobs_mode=logprobs_mode), max_num_samples=3)
        case = dataclasses.replace(
            case, rows=dataclasses.replace(case.rows, logit_bias=mixed_bias(context, ROWS, 10_012, 8))
        )
        # A row without any token in most shards, and one without any.
        case.rows.allowed_tokens[6] = 0
        case.rows.allowed_tokens[9] = 0
        case.rows.allowed_tokens[9, 200] = 5
        whole = run(case, kernel)
        wrong = []
        for num_shards in range(1, 9):
            result = run_shards(case, kernel, num_shards)
            tokens_ok = torch.equal(result.token_ids, whole.token_ids) and torch.equal(
                result.row_status, whole.row_status
            )
            close = torch.isclose(result.logprobs, whole.logprobs, rtol=1e-5, atol=2e-4, equal_nan=True)
            masses = torch.isclose(result.log_sum_exp, whole.log_sum_exp, rtol=1e-5, atol=1e-4)
            if not (tokens_ok and bool(close.all()) and bool(masses.all())):
                wrong.append((num_shards, tokens_ok, bool(close.all()), bool(masses.all())))
        statuses = whole.row_status[[6, 9]].tolist()
        name = f"{kernel}: 1 to 8 shards merge to the tokens of the whole, {logprobs_mode} logprobs"
        context.check(
            name, not wrong and statuses == [2, 0], f"{wrong} {statuses}" if wrong else f"statuses {statuses}"
        )


def run_shards(case: Case, kernel: str, num_shards: int) -> SampleResult:
    """Draws a case in shards of the vocabulary and merges them."""
    vocab_size = case.weight.shape[0]
    # Uneven and odd bounds: tiles start elsewhere in every shard.
    bounds = [0, *(vocab_size * number // num_shards + number % 3 for number in range(1, num_shards)), vocab_size]
    parts = [
        run(dataclasses.replace(case, weight=case.weight[start:end], vocab_start=case.vocab_start + start), kernel)
        for start, end in itertools.pairwise(bounds)
    ]
    rows = {name: value for name, value in case.rows.options().items() if name != "allowed_tokens"}
    return merge(
        torch.stack([part.candidates for part in parts]),
        shard_log_sum_exp=torch.stack([part.log_sum_exp for part in parts]),
        shard_row_status=torch.stack([part.row_status for part in parts]),
        noise_scheme=case.noise_scheme,
        logprobs_mode=case.logprobs_mode,
        logprobs=True,
        log_sum_exp=True,
        row_status=True,
        **rows,
    )


def _check_repetition(context: Context, kernel: str) -> None:
    repetitions = 20 if context.is_quick else 200
    changed = []
    for batch_size in (1, 16, 64, 200, 256, 300):
        case = _base(context).pick(torch.arange(batch_size, device=context.device))
        # One workspace: every call finds it as the last one left it.
        workspace = new_workspace(context.device, batch_size, case.max_num_samples)
        first = run(case, kernel, workspace=workspace)
        for _ in range(repetitions):
            again = run(case, kernel, workspace=workspace)
            same = all(same_bits(a, b) for a, b in zip(first, again, strict=True))
            if not same:
                changed.append(batch_size)
                break
    name = f"{kernel}: {repetitions} repetitions give the same bits in every output"
    context.check(name, not changed, f"changed at B={changed}" if changed else "")


def _check_workspace(context: Context, kernel: str) -> None:
    """Calls of other shapes leave the workspace ready for the next."""
    workspace = new_workspace(context.device, 300, 4)
    wrong = []
    for number, (batch_size, vocab_size, hidden_size, samples) in enumerate(
        ((300, 5000, 64, 1), (1, 17, 8, 4), (256, 999, 512, 2), (7, 30_000, 72, 1), (64, 2048, 128, 4), (2, 5, 8, 1))
        * 2
    ):
        case = integer_case(context, batch_size, vocab_size, hidden_size, seed=number, max_num_samples=samples)
        expected = run(case, kernel)
        found = run(case, kernel, workspace=workspace)
        logits = torch.randn((batch_size, 777), generator=context.generator(number), device=context.device)
        options = {"max_num_samples": samples, **case.rows.options()}
        drawn = sample_from_logits(logits, workspace=workspace, **options).token_ids
        if not torch.equal(found.token_ids, expected.token_ids):
            wrong.append((number, "fused"))
        if not torch.equal(drawn, sample_from_logits(logits, **options).token_ids):
            wrong.append((number, "from logits"))
    context.check(f"{kernel}: one workspace serves calls of changing shapes", not wrong, str(wrong) if wrong else "")


def _check_graph(context: Context, kernel: str) -> None:
    case = _base(context)
    for batch_size in (1, 64, 300):
        part = case.pick(torch.arange(batch_size, device=context.device))
        options = {"kernel": kernel, "max_num_samples": 2, "vocab_start": 5, "candidates": True, **part.rows.options()}
        prepared = prepare(part.hidden_states, part.weight, **options)
        stream = torch.cuda.Stream(context.device)
        stream.wait_stream(torch.cuda.current_stream(context.device))
        with torch.cuda.stream(stream):
            prepared.run()
        torch.cuda.current_stream(context.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            prepared.run()
        wrong = 0
        seen = set()
        for replay in range(12):
            # In place: the graph reads the same addresses.
            part.rows.seed.add_(replay * 977)
            part.rows.position.add_(1)
            part.rows.temperature.mul_(1.0 if replay % 3 else 0.9)
            part.hidden_states.copy_(part.hidden_states.roll(1, dims=0))
            prepared.result.token_ids.fill_(-77)
            graph.replay()
            direct = prepare(part.hidden_states, part.weight, **options).run()
            same = torch.equal(prepared.result.token_ids, direct.token_ids)
            wrong += not (same and torch.equal(prepared.result.candidates, direct.candidates))
            seen.add(tuple(direct.token_ids[0].tolist()))
        name = f"{kernel}: a replayed graph draws for changed seeds, positions and inputs, B={batch_size}"
        context.check(name, wrong == 0 and len(seen) > 3, f"{wrong} of 12 differ, {len(seen)} different draws of row 0")


def _check_streams(context: Context, kernel: str) -> None:
    case = _base(context)
    expected = run(case, kernel)
    torch.cuda.synchronize(context.device)
    streams = [torch.cuda.Stream(context.device) for _ in range(4)]
    prepared = []
    for stream in streams:
        with torch.cuda.stream(stream):
            prepared.append(
                prepare(
                    case.hidden_states,
                    case.weight,
                    kernel=kernel,
                    max_num_samples=2,
                    vocab_start=5,
                    **case.rows.options(),
                )
            )
    torch.cuda.synchronize(context.device)
    for _ in range(8):
        for stream, call in zip(streams, prepared, strict=True):
            with torch.cuda.stream(stream):
                call.result.token_ids.fill_(-77)
                call.run()
    torch.cuda.synchronize(context.device)
    wrong = sum(not torch.equal(call.result.token_ids, expected.token_ids) for call in prepared)
    context.check(f"{kernel}: four streams at once draw the tokens of one", wrong == 0, f"{wrong} streams differ")


def _check_kernels(context: Context) -> None:
    wrong = []
    for number, batch_size in enumerate((1, 8, 33, 64, 129, 256, 300)):
        for scheme in ("flash", "vllm"):
            case = integer_case(
                context,
                batch_size,
                20_011,
                (72, 576, 2880)[number % 3],
                seed=number,
                noise_scheme=scheme,
                max_num_samples=2,
            )
            first, second = (run(case, kernel) for kernel in context.kernels)
            if not (
                torch.equal(first.token_ids, second.token_ids) and torch.equal(first.candidates, second.candidates)
            ):
                same = float((first.token_ids == second.token_ids).float().mean())
                wrong.append((batch_size, scheme, f"{100 * same:.2f} % of the tokens equal"))
    name = f"{' and '.join(context.kernels)} give the same tokens and scores on integers"
    context.check(name, not wrong, str(wrong) if wrong else "")
