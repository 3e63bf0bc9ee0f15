"""Wrong calls give a status and a message, and the process goes on drawing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import Case, integer_case, run
from flashsampling_cuda import (
    FlashSamplingError,
    PreparedSample,
    library,
    new_workspace,
    prepare,
    prepare_from_logits,
    sample,
)
from harness import Context

ARGUMENT_ERRORS = (TypeError, ValueError)


def check_errors(context: Context) -> None:
    """Arguments that the library refuses, then those that the binding refuses before."""
    case = integer_case(context, 4, 2003, 64, seed=3)
    expected = run(case).token_ids
    _check_refused_fields(context, case)
    _check_null_calls(context)
    _check_logits(context, case)
    _check_binding(context, case)
    context.check("the process still draws the same tokens", torch.equal(run(case).token_ids, expected))


def _check_refused_fields(context: Context, case: Case) -> None:
    pointer = case.hidden_states.data_ptr()
    refused = library.INVALID_ARGUMENT
    changes: list[tuple[str, dict[str, object], int, str]] = [
        ("an unknown dtype", {"dtype": 9}, refused, "dtype"),
        ("an unknown noise scheme", {"noise_scheme": 7}, refused, "noise_scheme"),
        ("an unknown kernel", {"kernel": 5}, refused, "kernel"),
        ("an unknown logprobs mode", {"logprobs_mode": 2}, refused, "logprobs_mode"),
        ("an unknown token id type", {"token_id_type": 2}, refused, "token_id_type"),
        ("a struct of another size", {"struct_size": 12}, refused, "struct_size"),
        ("no rows", {"batch_size": 0}, refused, "batch_size"),
        ("no tokens", {"shard_rows": 0}, refused, "shard_rows"),
        ("a hidden size of 12", {"hidden_size": 12}, refused, "hidden_size"),
        ("no hidden size", {"hidden_size": 0}, refused, "hidden_size"),
        ("a stride below the row", {"weight_stride": 8}, refused, "weight_stride"),
        ("an odd stride", {"hidden_states_stride": 65}, refused, "hidden_states_stride"),
        ("no hidden states", {"hidden_states": None}, refused, "hidden_states"),
        ("no weight", {"weight": None}, refused, "weight"),
        ("misaligned hidden states", {"hidden_states": pointer + 2}, refused, "hidden_states"),
        ("a misaligned weight", {"weight": case.weight.data_ptr() + 8}, refused, "weight"),
        ("no output at all", {"out_token_ids": None, "out_candidates": None}, refused, "out_token_ids"),
        ("no workspace", {"workspace": None}, refused, "workspace"),
        ("a small workspace", {"workspace_bytes": 64}, library.WORKSPACE_TOO_SMALL, "workspace"),
        *(
            (f"{name}, which is not served", {name: pointer}, library.NOT_SERVED, name)
            for name in (
                "top_k",
                "top_p",
                "min_p",
                "repetition_penalty",
                "presence_penalty",
                "frequency_penalty",
                "prompt_token_mask",
                "output_token_counts",
            )
        ),
    ]
    for name, fields, status, text in changes:
        prepared = prepare(case.hidden_states, case.weight, **case.rows.options())
        prepared.result.token_ids.fill_(-77)
        for field, value in fields.items():
            setattr(prepared.args, field, value)
        if name == "no output at all":
            prepared.args.out_logprobs = None
        _check_status(context, name, prepared, status, text)
        untouched = bool((prepared.result.token_ids == -77).all())
        context.check(f"{name}: nothing was drawn", untouched)


def _check_status(context: Context, name: str, prepared: PreparedSample, status: int, text: str) -> None:
    try:
        prepared.run()
    except FlashSamplingError as error:
        context.check(name, error.status == status and text in str(error), str(error))
        return
    context.check(name, False, "the call was not refused")


def _check_null_calls(context: Context) -> None:
    loaded = library.load_library()
    handle = library.context(context.device.index or 0)
    calls: list[tuple[str, Callable[[], int]]] = [
        (
            "sample() without context",
            lambda: loaded.flashsampling_sample(None, library.new_args(library.SampleArgs), None),
        ),
        ("sample() without arguments", lambda: loaded.flashsampling_sample(handle, None, None)),
        ("merge() without arguments", lambda: loaded.flashsampling_merge(handle, None, None)),
        ("sample_from_logits() without arguments", lambda: loaded.flashsampling_sample_from_logits(handle, None, None)),
        ("workspace_bytes() without a result", lambda: loaded.flashsampling_workspace_bytes(handle, 1, 1, None)),
        ("workspace_init() without memory", lambda: loaded.flashsampling_workspace_init(handle, None, 1 << 20, None)),
        ("device_count() without a result", lambda: loaded.flashsampling_device_count(None)),
        ("context_create() without a result", lambda: loaded.flashsampling_context_create(0, None)),
        (
            "merge() without shards",
            lambda: loaded.flashsampling_merge(handle, library.new_args(library.MergeArgs, batch_size=1), None),
        ),
    ]
    for name, call in calls:
        status = call()
        context.check(name, status == library.INVALID_ARGUMENT and len(library.last_error()) > 10, library.last_error())
    status = loaded.flashsampling_context_destroy(None)
    context.check("context_destroy() takes NULL", status == library.OK)


def _check_logits(context: Context, case: Case) -> None:
    logits = torch.zeros((4, 100), device=context.device)
    for name, fields, status in (
        ("logits of an unknown type", {"logits_type": 3}, library.INVALID_ARGUMENT),
        ("no logits", {"logits": None}, library.INVALID_ARGUMENT),
        ("logits without rows", {"batch_size": 0}, library.INVALID_ARGUMENT),
        ("logits with a small workspace", {"workspace_bytes": 8}, library.WORKSPACE_TOO_SMALL),
    ):
        prepared = prepare_from_logits(logits, seed=1)
        for field, value in fields.items():
            setattr(prepared.args, field, value)
        _check_status(context, name, prepared, status, next(iter(fields)).split("_")[0])


def _check_binding(context: Context, case: Case) -> None:
    states, weight = case.hidden_states, case.weight
    device = context.device
    wrong: list[tuple[str, Callable[[], object], str]] = [
        ("fp32 hidden states", lambda: sample(states.float(), weight.float()), '"hidden_states" must be of type'),
        (
            "two dtypes",
            lambda: sample(states, weight.to(torch.float16)),
            '"weight" must be of the type of hidden_states',
        ),
        ("tensors of the host", lambda: sample(states.cpu(), weight.cpu()), "must be on a CUDA device"),
        ("a weight of another width", lambda: sample(states, weight[:, :56].contiguous()), "64 elements wide"),
        ("a vector", lambda: sample(states[0], weight), '"hidden_states" must be a matrix'),
        ("a transposed weight", lambda: sample(states, weight.t().contiguous().t()), "contiguous along its last"),
        ("an unknown kernel", lambda: sample(states, weight, kernel="fast"), "'auto' or 'sm90a' or 'smxx'"),
        ("seeds of another length", lambda: sample(states, weight, seed=[1, 2]), '"seed" must be one value or 4'),
        ("a negative seed", lambda: sample(states, weight, seed=-1), "from 0 to 2**64 - 1"),
        (
            "temperatures in double precision",
            lambda: sample(states, weight, temperature=torch.ones(4, dtype=torch.float64, device=device)),
            '"temperature" must be of type torch.float32',
        ),
        (
            "a short bias",
            lambda: sample(states, weight, logit_bias=torch.zeros(100, device=device)),
            '"logit_bias" must be contiguous rows of at least 2003',
        ),
        (
            "a short mask",
            lambda: sample(states, weight, allowed_tokens=torch.zeros(3, dtype=torch.int32, device=device)),
            '"allowed_tokens" must be contiguous rows of at least 63',
        ),
    ]
    for name, action, text in wrong:
        if name == "tensors of the host" and device.type != "cuda":
            continue
        context.check_error(name, action, ARGUMENT_ERRORS, text)
    context.check_error(
        "a small workspace of the caller",
        lambda: sample(states, weight, workspace=new_workspace(device)[:512]),
        (FlashSamplingError,),
        "workspace",
    )
