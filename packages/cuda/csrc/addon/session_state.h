// A head on the device with everything a draw needs beside it, without a word of JavaScript: stream, workspace,
// parameter and result blocks. One call at a time; prepare() runs on the JavaScript thread, run() on a worker thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "handles.h"

namespace flashsampling::addon {

// A vocabulary shard whose weights lie on the device.
struct Shard {
  std::shared_ptr<DeviceMemory> weight;  // [rows, stride] 16-bit elements
  uint32_t rows = 0;
  uint32_t vocab_start = 0;
};

struct SessionOptions {
  uint32_t hidden_size = 0;  // of the caller's hidden states, elements
  uint32_t padded_size = 0;  // of a row on the device: hidden_size rounded up to a multiple of 8
  uint32_t vocab_size = 0;   // one past the highest token id
  flashsampling_dtype dtype = FLASHSAMPLING_DTYPE_BF16;
  flashsampling_noise_scheme noise_scheme = FLASHSAMPLING_NOISE_FLASH;
  flashsampling_kernel kernel = FLASHSAMPLING_KERNEL_AUTO;
  std::vector<Shard> shards;  // at least one
};

// One call as the caller's arrays describe it; they are read by prepare() and not kept, but for the edits.
struct SampleCall {
  uint32_t batch_size = 0;
  uint32_t max_num_samples = 0;
  flashsampling_logprobs_mode logprobs_mode = FLASHSAMPLING_LOGPROBS_TRANSFORMED;
  const float* hidden_states = nullptr;     // [batch_size, hidden_size]
  const float* temperature = nullptr;       // [batch_size]
  const uint64_t* seed = nullptr;           // [batch_size]
  const uint64_t* position = nullptr;       // [batch_size]
  const uint32_t* draw_index = nullptr;     // [batch_size]
  const uint32_t* num_samples = nullptr;    // [batch_size]
  const int32_t* allowed_tokens = nullptr;  // [num_masks, mask_words]
  uint32_t num_masks = 0;                   // 0: none; 1: one for every row; else batch_size
  // Biases by row: those of row r are entries bias_offsets[r] to bias_offsets[r + 1].
  uint32_t num_biases = 0;               // rows of biases, as num_masks
  std::vector<uint32_t> bias_offsets;    // [num_biases + 1]
  std::vector<uint32_t> bias_token_ids;  // below vocab_size
  std::vector<float> bias_values;
};

// Results of the last call, in page-locked memory; valid until the next prepare().
struct SampleResults {
  const int32_t* token_ids = nullptr;   // [batch_size, max_num_samples]
  const float* logprobs = nullptr;      // [batch_size, max_num_samples]
  const float* log_sum_exp = nullptr;   // [batch_size]
  const int32_t* row_status = nullptr;  // [batch_size], flashsampling_row_status
};

class SessionState {
 public:
  SessionState(SharedContext context, SessionOptions options)
      : context_(std::move(context)), options_(std::move(options)) {}

  // Makes the stream. Called once.
  Failure initialize() { return stream_.create(context_); }

  // Copies the caller's arrays into page-locked memory, rounding hidden states to the head's dtype.
  Failure prepare(const SampleCall& call);

  // Uploads, draws, merges and downloads; returns when the results are there.
  Failure run(const SampleCall& call);

  SampleResults results(const SampleCall& call) const;

  const SessionOptions& options() const { return options_; }
  uint32_t mask_words() const { return (options_.vocab_size + 31) / 32; }

  // Memory beside the weights, on the device and page-locked.
  uint64_t workspace_bytes() const;

 private:
  // Where each array of a call lies in the upload block, bytes; kAbsent where it is not there.
  struct UploadLayout {
    uint64_t hidden_states, seed, position, temperature, draw_index, num_samples, allowed_tokens, logit_bias, bytes;
  };
  struct ResultLayout {
    uint64_t token_ids, logprobs, log_sum_exp, row_status, bytes;
  };
  struct ShardLayout {
    uint64_t candidates, log_sum_exp, row_status, bytes;
  };

  UploadLayout upload_layout(const SampleCall& call) const;
  ResultLayout result_layout(const SampleCall& call) const;
  ShardLayout shard_layout(const SampleCall& call) const;
  void expand_biases(const SampleCall& call, float* logit_bias) const;
  Failure reserve_workspace(const SampleCall& call);
  Failure enqueue(const SampleCall& call);
  Failure enqueue_shards(const SampleCall& call);
  void mark_overflowing_rows(const SampleCall& call);

  SharedContext context_;
  SessionOptions options_;
  Stream stream_;
  HostMemory host_upload_, host_result_;
  DeviceMemory device_upload_, device_result_, device_shards_, workspace_;
  bool workspace_is_ready_ = false;
  std::vector<uint32_t> overflowing_rows_;
};

}  // namespace flashsampling::addon
