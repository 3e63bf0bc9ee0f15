#include <cinttypes>

#include "check_args.h"
#include "check_pointers.h"
#include "debug_log.h"

using namespace flashsampling;

namespace {

constexpr uint64_t kWorkspaceBytes = sizeof(Workspace);

// The words of the ABI and of the kernels name the same numbers.
static_assert(static_cast<uint32_t>(Dtype::kF16) == FLASHSAMPLING_DTYPE_F16);
static_assert(static_cast<uint32_t>(NoiseScheme::kVllm) == FLASHSAMPLING_NOISE_VLLM);
static_assert(static_cast<uint32_t>(LogprobsMode::kRaw) == FLASHSAMPLING_LOGPROBS_RAW);
static_assert(static_cast<uint32_t>(LogitsType::kF16) == FLASHSAMPLING_DTYPE_F16);
static_assert(int{kRowInvalidParameters} == int{FLASHSAMPLING_ROW_INVALID_PARAMETERS});

cudaStream_t as_stream(flashsampling_stream stream) { return static_cast<cudaStream_t>(stream); }

template <typename Args>
RowParams rows_of(const Args& args) {
  return {args.temperature,       args.seed,        args.position,
          args.draw_index,        args.num_samples, args.logit_bias,
          args.logit_bias_stride, nullptr,          0};
}

template <typename Args>
RowParams rows_with_mask_of(const Args& args) {
  RowParams rows = rows_of(args);
  rows.allowed_tokens = args.allowed_tokens;
  rows.allowed_tokens_stride = args.allowed_tokens_stride;
  return rows;
}

template <typename Args>
SampleOutputs outputs_of(const Args& args) {
  return {args.out_token_ids,  args.token_id_type == FLASHSAMPLING_TOKEN_ID_INT64,
          args.out_logprobs,   args.out_log_sum_exp,
          args.out_row_status, nullptr};
}

template <typename Args>
void check_row_pointers(const Args& args, PointerChecker* pointers) {
  pointers->reachable(args.temperature, "temperature")
      .reachable(args.seed, "seed")
      .reachable(args.position, "position")
      .reachable(args.draw_index, "draw_index")
      .reachable(args.num_samples, "num_samples")
      .reachable(args.logit_bias, "logit_bias")
      .reachable(args.out_token_ids, "out_token_ids")
      .reachable(args.out_logprobs, "out_logprobs")
      .reachable(args.out_log_sum_exp, "out_log_sum_exp")
      .reachable(args.out_row_status, "out_row_status");
}

flashsampling_status choose_kernel(const flashsampling_context& context, uint32_t asked, uint32_t* out_kernel) {
  *out_kernel = asked;
  if (asked == FLASHSAMPLING_KERNEL_AUTO) {
    *out_kernel = context.serves_sm90a ? FLASHSAMPLING_KERNEL_SM90A : FLASHSAMPLING_KERNEL_SMXX;
  }
  FS_REQUIRE(*out_kernel != FLASHSAMPLING_KERNEL_SM90A || context.serves_sm90a, FLASHSAMPLING_UNSUPPORTED_DEVICE,
             "Cannot sample tokens as \"kernel\" sm90a needs compute capability 9.0 and a driver with tensor maps: "
             "device %d (%s) has compute capability %d.%d",
             context.device.device_index, context.name, context.device.compute_major, context.device.compute_minor);
  return FLASHSAMPLING_OK;
}

}  // namespace

extern "C" {

flashsampling_status flashsampling_workspace_bytes(flashsampling_context* context, uint32_t batch_size,
                                                   uint32_t max_num_samples, uint64_t* out_bytes) {
  const char* action = "tell the size of the workspace";
  FS_REQUIRE_ARGUMENT(out_bytes != nullptr, "Cannot %s as \"out_bytes\" must not be NULL", action);
  *out_bytes = 0;
  FS_RETURN_IF_FAILED(check_context(context, action));
  FS_REQUIRE_ARGUMENT(batch_size >= 1, "Cannot %s as \"batch_size\" must be >= 1: current value is 0", action);
  (void)max_num_samples;  // larger calls take more passes, not more memory
  *out_bytes = kWorkspaceBytes;
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_workspace_init(flashsampling_context* context, void* workspace,
                                                  uint64_t workspace_bytes, flashsampling_stream stream) {
  FS_ENTER(context, "prepare the workspace");
  FS_RETURN_IF_FAILED(check_workspace(workspace, workspace_bytes, kWorkspaceBytes));
  PointerChecker pointers(*context, as_stream(stream), "prepare the workspace");
  FS_RETURN_IF_FAILED(pointers.local(workspace, "workspace").status());
  FS_CHECK_CUDA(cudaMemsetAsync(workspace, 0, kZeroedBytes, as_stream(stream)));
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_sample(flashsampling_context* context, const flashsampling_sample_args* args,
                                          flashsampling_stream stream) {
  FS_ENTER(context, "sample tokens");
  flashsampling_sample_args a;
  FS_RETURN_IF_FAILED(check_sample_args(args, kWorkspaceBytes, &a));
  uint32_t kernel = 0;
  FS_RETURN_IF_FAILED(choose_kernel(*context, a.kernel, &kernel));
  PointerChecker pointers(*context, as_stream(stream), "sample tokens");
  pointers.local(a.hidden_states, "hidden_states")
      .local(a.weight, "weight")
      .local(a.workspace, "workspace")
      .reachable(a.allowed_tokens, "allowed_tokens")
      .reachable(a.out_candidates, "out_candidates");
  check_row_pointers(a, &pointers);
  FS_RETURN_IF_FAILED(pointers.status());

  SampleParams params = {};
  params.batch_size = a.batch_size;
  params.hidden_size = a.hidden_size;
  params.shard_rows = a.shard_rows;
  params.vocab_start = a.vocab_start;
  params.max_num_samples = a.max_num_samples;
  params.dtype = static_cast<Dtype>(a.dtype);
  params.noise_scheme = static_cast<NoiseScheme>(a.noise_scheme);
  params.logprobs_mode = static_cast<LogprobsMode>(a.logprobs_mode);
  params.hidden_states = a.hidden_states;
  params.hidden_states_stride = a.hidden_states_stride;
  params.weight = a.weight;
  params.weight_stride = a.weight_stride;
  params.rows = rows_with_mask_of(a);
  params.out = outputs_of(a);
  params.out.candidates = a.out_candidates;
  params.workspace = a.workspace;
  log_call(*context, a, stream);
  const auto launch = kernel == FLASHSAMPLING_KERNEL_SM90A ? sm90_sample : smxx_sample;
  FS_CHECK_CUDA(launch(context->device, params, as_stream(stream)));
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_merge(flashsampling_context* context, const flashsampling_merge_args* args,
                                         flashsampling_stream stream) {
  FS_ENTER(context, "merge shards");
  flashsampling_merge_args a;
  FS_RETURN_IF_FAILED(check_merge_args(args, &a));
  PointerChecker pointers(*context, as_stream(stream), "merge shards");
  pointers.reachable(a.candidates, "candidates")
      .reachable(a.log_sum_exp, "log_sum_exp")
      .reachable(a.row_status, "row_status");
  check_row_pointers(a, &pointers);
  FS_RETURN_IF_FAILED(pointers.status());

  MergeParams params = {};
  params.num_shards = a.num_shards;
  params.batch_size = a.batch_size;
  params.max_num_samples = a.max_num_samples;
  params.noise_scheme = static_cast<NoiseScheme>(a.noise_scheme);
  params.logprobs_mode = static_cast<LogprobsMode>(a.logprobs_mode);
  params.candidates = a.candidates;
  params.log_sum_exp = a.log_sum_exp;
  params.row_status = a.row_status;
  params.rows = rows_of(a);
  params.out = outputs_of(a);
  log_call(*context, a, stream);
  FS_CHECK_CUDA(merge_shards(params, as_stream(stream)));
  return FLASHSAMPLING_OK;
}

flashsampling_status flashsampling_sample_from_logits(flashsampling_context* context,
                                                      const flashsampling_logits_args* args,
                                                      flashsampling_stream stream) {
  FS_ENTER(context, "sample from logits");
  flashsampling_logits_args a;
  FS_RETURN_IF_FAILED(check_logits_args(args, kWorkspaceBytes, &a));
  PointerChecker pointers(*context, as_stream(stream), "sample from logits");
  pointers.local(a.logits, "logits").local(a.workspace, "workspace").reachable(a.allowed_tokens, "allowed_tokens");
  check_row_pointers(a, &pointers);
  FS_RETURN_IF_FAILED(pointers.status());

  LogitsParams params = {};
  params.batch_size = a.batch_size;
  params.vocab_size = a.vocab_size;
  params.vocab_start = a.vocab_start;
  params.max_num_samples = a.max_num_samples;
  params.logits_type = static_cast<LogitsType>(a.logits_type);
  params.noise_scheme = static_cast<NoiseScheme>(a.noise_scheme);
  params.logprobs_mode = static_cast<LogprobsMode>(a.logprobs_mode);
  params.logits = a.logits;
  params.logits_stride = a.logits_stride;
  params.rows = rows_with_mask_of(a);
  params.out = outputs_of(a);
  params.workspace = a.workspace;
  log_call(*context, a, stream);
  FS_CHECK_CUDA(logits_sample(context->device, params, as_stream(stream)));
  return FLASHSAMPLING_OK;
}

}  // extern "C"
