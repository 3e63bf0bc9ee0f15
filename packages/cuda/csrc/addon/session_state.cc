#include "session_state.h"

#include <algorithm>
#include <cstring>

#include "round.h"

namespace flashsampling::addon {
namespace {

constexpr uint64_t kAlignment = 256;
constexpr uint64_t kAbsent = UINT64_MAX;

// Gives out aligned places in a block, one after the other.
class Placer {
 public:
  uint64_t place(uint64_t bytes) {
    const uint64_t at = bytes_;
    bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  uint64_t place_if(bool is_wanted, uint64_t bytes) { return is_wanted ? place(bytes) : kAbsent; }
  uint64_t bytes() const { return bytes_; }

 private:
  uint64_t bytes_ = 0;
};

template <typename T>
T* at(const uint8_t* block, uint64_t offset) {
  return offset == kAbsent ? nullptr : reinterpret_cast<T*>(const_cast<uint8_t*>(block) + offset);
}

template <typename T>
void fill(uint8_t* block, uint64_t offset, const T* source, uint64_t count) {
  if (offset != kAbsent && count > 0) std::memcpy(block + offset, source, count * sizeof(T));
}

}  // namespace

SessionState::UploadLayout SessionState::upload_layout(const SampleCall& call) const {
  const uint64_t rows = call.batch_size;
  Placer placer;
  UploadLayout layout;
  layout.hidden_states = placer.place(rows * options_.padded_size * sizeof(uint16_t));
  layout.seed = placer.place(rows * sizeof(uint64_t));
  layout.position = placer.place(rows * sizeof(uint64_t));
  layout.temperature = placer.place(rows * sizeof(float));
  layout.draw_index = placer.place(rows * sizeof(uint32_t));
  layout.num_samples = placer.place(rows * sizeof(uint32_t));
  layout.allowed_tokens =
      placer.place_if(call.num_masks > 0, uint64_t{call.num_masks} * mask_words() * sizeof(int32_t));
  layout.logit_bias =
      placer.place_if(call.num_biases > 0, uint64_t{call.num_biases} * options_.vocab_size * sizeof(float));
  layout.bytes = placer.bytes();
  return layout;
}

SessionState::ResultLayout SessionState::result_layout(const SampleCall& call) const {
  const uint64_t rows = call.batch_size;
  const uint64_t draws = rows * call.max_num_samples;
  Placer placer;
  ResultLayout layout;
  layout.token_ids = placer.place(draws * sizeof(int32_t));
  layout.logprobs = placer.place(draws * sizeof(float));
  layout.log_sum_exp = placer.place(rows * sizeof(float));
  layout.row_status = placer.place(rows * sizeof(int32_t));
  layout.bytes = placer.bytes();
  return layout;
}

SessionState::ShardLayout SessionState::shard_layout(const SampleCall& call) const {
  const uint64_t rows = options_.shards.size() * uint64_t{call.batch_size};
  Placer placer;
  ShardLayout layout;
  layout.candidates = placer.place(rows * call.max_num_samples * sizeof(uint64_t));
  layout.log_sum_exp = placer.place(rows * sizeof(float));
  layout.row_status = placer.place(rows * sizeof(int32_t));
  layout.bytes = placer.bytes();
  return layout;
}

Failure SessionState::prepare(const SampleCall& call) {
  const UploadLayout layout = upload_layout(call);
  FS_ADDON_FORWARD(host_upload_.reserve(context_, layout.bytes, "reserve page-locked memory for a batch"));
  FS_ADDON_FORWARD(host_result_.reserve(context_, result_layout(call).bytes, "reserve page-locked memory for results"));
  uint8_t* block = host_upload_.get();
  overflowing_rows_.clear();
  const auto round_row = options_.dtype == FLASHSAMPLING_DTYPE_BF16 ? round_row_to_bf16 : round_row_to_f16;
  for (uint32_t row_idx = 0; row_idx < call.batch_size; row_idx++) {
    const bool fits = round_row(call.hidden_states + uint64_t{row_idx} * options_.hidden_size, options_.hidden_size,
                                at<uint16_t>(block, layout.hidden_states) + uint64_t{row_idx} * options_.padded_size,
                                options_.padded_size);
    if (!fits) overflowing_rows_.push_back(row_idx);
  }
  fill(block, layout.seed, call.seed, call.batch_size);
  fill(block, layout.position, call.position, call.batch_size);
  fill(block, layout.temperature, call.temperature, call.batch_size);
  fill(block, layout.draw_index, call.draw_index, call.batch_size);
  fill(block, layout.num_samples, call.num_samples, call.batch_size);
  fill(block, layout.allowed_tokens, call.allowed_tokens, uint64_t{call.num_masks} * mask_words());
  return {};
}

Failure SessionState::run(const SampleCall& call) {
  const Failure failure = enqueue(call);
  // Also after a failure: the next call writes into the page-locked memory that copies may still be reading.
  const Failure late_failure = stream_.synchronize("draw tokens");
  if (failure || late_failure) {
    // A kernel that was cut off leaves the workspace in an unknown state.
    workspace_is_ready_ = false;
    return failure ? failure : late_failure;
  }
  mark_overflowing_rows(call);
  return {};
}

Failure SessionState::reserve_workspace(const SampleCall& call) {
  uint64_t bytes = 0;
  FS_ADDON_TRY(flashsampling_workspace_bytes(context_->get(), call.batch_size, call.max_num_samples, &bytes),
               "size the workspace");
  if (bytes > workspace_.bytes()) {
    FS_ADDON_FORWARD(workspace_.allocate(context_, bytes, "reserve the workspace"));
    workspace_is_ready_ = false;
  }
  if (!workspace_is_ready_) {
    FS_ADDON_TRY(flashsampling_workspace_init(context_->get(), workspace_.get(), workspace_.bytes(), stream_.get()),
                 "prepare the workspace");
    workspace_is_ready_ = true;
  }
  return {};
}

Failure SessionState::enqueue(const SampleCall& call) {
  const UploadLayout upload = upload_layout(call);
  const ResultLayout result = result_layout(call);
  FS_ADDON_FORWARD(device_upload_.reserve(context_, upload.bytes, "reserve device memory for a batch"));
  FS_ADDON_FORWARD(device_result_.reserve(context_, result.bytes, "reserve device memory for results"));
  if (options_.shards.size() > 1) {
    FS_ADDON_FORWARD(
        device_shards_.reserve(context_, shard_layout(call).bytes, "reserve device memory for results of shards"));
  }
  FS_ADDON_FORWARD(reserve_workspace(call));
  if (call.num_biases > 0) expand_biases(call, at<float>(host_upload_.get(), upload.logit_bias));
  FS_ADDON_TRY(flashsampling_copy_to_device(context_->get(), device_upload_.get(), host_upload_.get(), upload.bytes,
                                            stream_.get()),
               "upload hidden states and parameters");
  FS_ADDON_FORWARD(enqueue_shards(call));
  FS_ADDON_TRY(flashsampling_copy_to_host(context_->get(), host_result_.get(), device_result_.get(), result.bytes,
                                          stream_.get()),
               "download tokens");
  return {};
}

Failure SessionState::enqueue_shards(const SampleCall& call) {
  const UploadLayout upload = upload_layout(call);
  const ResultLayout result = result_layout(call);
  const ShardLayout parts = shard_layout(call);
  const uint8_t* inputs = device_upload_.get();
  const uint8_t* outputs = device_result_.get();
  const bool is_sharded = options_.shards.size() > 1;

  flashsampling_sample_args args{};
  args.struct_size = sizeof(args);
  args.batch_size = call.batch_size;
  args.hidden_size = options_.padded_size;
  args.max_num_samples = call.max_num_samples;
  args.dtype = options_.dtype;
  args.noise_scheme = options_.noise_scheme;
  args.kernel = options_.kernel;
  args.logprobs_mode = call.logprobs_mode;
  args.token_id_type = FLASHSAMPLING_TOKEN_ID_INT32;
  args.hidden_states = at<void>(inputs, upload.hidden_states);
  args.temperature = at<float>(inputs, upload.temperature);
  args.seed = at<uint64_t>(inputs, upload.seed);
  args.position = at<uint64_t>(inputs, upload.position);
  args.draw_index = at<uint32_t>(inputs, upload.draw_index);
  args.num_samples = at<uint32_t>(inputs, upload.num_samples);
  args.logit_bias = at<float>(inputs, upload.logit_bias);
  args.logit_bias_stride = call.num_biases > 1 ? options_.vocab_size : 0;
  args.allowed_tokens = at<int32_t>(inputs, upload.allowed_tokens);
  args.allowed_tokens_stride = call.num_masks > 1 ? mask_words() : 0;
  args.workspace = workspace_.get();
  args.workspace_bytes = workspace_.bytes();

  for (size_t shard_idx = 0; shard_idx < options_.shards.size(); shard_idx++) {
    const Shard& shard = options_.shards[shard_idx];
    args.shard_rows = shard.rows;
    args.vocab_start = shard.vocab_start;
    args.weight = shard.weight->get();
    if (is_sharded) {
      const uint8_t* block = device_shards_.get();
      const uint64_t first_row = shard_idx * uint64_t{call.batch_size};
      args.out_candidates = at<uint64_t>(block, parts.candidates) + first_row * call.max_num_samples;
      args.out_log_sum_exp = at<float>(block, parts.log_sum_exp) + first_row;
      args.out_row_status = at<int32_t>(block, parts.row_status) + first_row;
    } else {
      args.out_token_ids = at<void>(outputs, result.token_ids);
      args.out_logprobs = at<float>(outputs, result.logprobs);
      args.out_log_sum_exp = at<float>(outputs, result.log_sum_exp);
      args.out_row_status = at<int32_t>(outputs, result.row_status);
    }
    FS_ADDON_TRY(flashsampling_sample(context_->get(), &args, stream_.get()), "draw tokens");
  }
  if (!is_sharded) return {};

  flashsampling_merge_args merge{};
  merge.struct_size = sizeof(merge);
  merge.num_shards = static_cast<uint32_t>(options_.shards.size());
  merge.batch_size = call.batch_size;
  merge.max_num_samples = call.max_num_samples;
  merge.noise_scheme = options_.noise_scheme;
  merge.logprobs_mode = call.logprobs_mode;
  merge.token_id_type = FLASHSAMPLING_TOKEN_ID_INT32;
  merge.candidates = at<uint64_t>(device_shards_.get(), parts.candidates);
  merge.log_sum_exp = at<float>(device_shards_.get(), parts.log_sum_exp);
  merge.row_status = at<int32_t>(device_shards_.get(), parts.row_status);
  merge.temperature = args.temperature;
  merge.seed = args.seed;
  merge.position = args.position;
  merge.draw_index = args.draw_index;
  merge.num_samples = args.num_samples;
  merge.logit_bias = args.logit_bias;
  merge.logit_bias_stride = args.logit_bias_stride;
  merge.out_token_ids = at<void>(outputs, result.token_ids);
  merge.out_logprobs = at<float>(outputs, result.logprobs);
  merge.out_log_sum_exp = at<float>(outputs, result.log_sum_exp);
  merge.out_row_status = at<int32_t>(outputs, result.row_status);
  FS_ADDON_TRY(flashsampling_merge(context_->get(), &merge, stream_.get()), "merge the shards");
  return {};
}

void SessionState::expand_biases(const SampleCall& call, float* logit_bias) const {
  const uint64_t vocab_size = options_.vocab_size;
  std::memset(logit_bias, 0, call.num_biases * vocab_size * sizeof(float));
  for (uint32_t row_idx = 0; row_idx < call.num_biases; row_idx++) {
    for (uint32_t i = call.bias_offsets[row_idx]; i < call.bias_offsets[row_idx + 1]; i++) {
      logit_bias[row_idx * vocab_size + call.bias_token_ids[i]] = call.bias_values[i];
    }
  }
}

// A hidden state that became infinite by rounding gives no valid logits, even where the kernel sees none: its products
// with weights of zero are NaN on some paths and skipped on others.
void SessionState::mark_overflowing_rows(const SampleCall& call) {
  const ResultLayout layout = result_layout(call);
  for (const uint32_t row_idx : overflowing_rows_) {
    at<int32_t>(host_result_.get(), layout.row_status)[row_idx] = FLASHSAMPLING_ROW_INVALID_LOGITS;
  }
}

SampleResults SessionState::results(const SampleCall& call) const {
  const ResultLayout layout = result_layout(call);
  const uint8_t* block = host_result_.get();
  return {at<int32_t>(block, layout.token_ids), at<float>(block, layout.logprobs), at<float>(block, layout.log_sum_exp),
          at<int32_t>(block, layout.row_status)};
}

uint64_t SessionState::workspace_bytes() const {
  return host_upload_.bytes() + host_result_.bytes() + device_upload_.bytes() + device_result_.bytes() +
         device_shards_.bytes() + workspace_.bytes();
}

}  // namespace flashsampling::addon
