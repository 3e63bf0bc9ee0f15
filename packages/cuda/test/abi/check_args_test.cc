// Runs the argument checks of the ABI on arguments that are wrong in one way each. Linked with the objects that need no
// CUDA. Prints one line per case, "case: status: text", which abi.test.ts compares.
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>

#include "../../csrc/abi/check_args.h"
#include "../../csrc/abi/error.h"

using namespace flashsampling;

namespace {

constexpr uint64_t kWorkspaceBytes = 4096;

template <typename Pointer>
Pointer at(uint64_t address) {
  return reinterpret_cast<Pointer>(static_cast<uintptr_t>(address));
}

flashsampling_sample_args good_sample() {
  flashsampling_sample_args args = {};
  args.struct_size = sizeof(args);
  args.batch_size = 4;
  args.hidden_size = 64;
  args.shard_rows = 1000;
  args.hidden_states = at<const void*>(0x1000);
  args.weight = at<const void*>(0x2000);
  args.out_token_ids = at<void*>(0x3000);
  args.workspace = at<void*>(0x4000);
  args.workspace_bytes = kWorkspaceBytes;
  return args;
}

flashsampling_merge_args good_merge() {
  flashsampling_merge_args args = {};
  args.struct_size = sizeof(args);
  args.num_shards = 2;
  args.batch_size = 4;
  args.candidates = at<const uint64_t*>(0x1000);
  args.out_token_ids = at<void*>(0x3000);
  return args;
}

flashsampling_logits_args good_logits() {
  flashsampling_logits_args args = {};
  args.struct_size = sizeof(args);
  args.batch_size = 4;
  args.vocab_size = 1001;
  args.logits = at<const void*>(0x1000);
  args.out_token_ids = at<void*>(0x3000);
  args.workspace = at<void*>(0x4000);
  args.workspace_bytes = kWorkspaceBytes;
  return args;
}

void report(const char* name, flashsampling_status status) {
  std::printf("%s: %s: %s\n", name, flashsampling_status_name(status), status == FLASHSAMPLING_OK ? "" : last_error());
}

void sample(const char* name, const std::function<void(flashsampling_sample_args&)>& change) {
  flashsampling_sample_args args = good_sample(), checked;
  change(args);
  report(name, check_sample_args(&args, kWorkspaceBytes, &checked));
}

void merge(const char* name, const std::function<void(flashsampling_merge_args&)>& change) {
  flashsampling_merge_args args = good_merge(), checked;
  change(args);
  report(name, check_merge_args(&args, &checked));
}

void logits(const char* name, const std::function<void(flashsampling_logits_args&)>& change) {
  flashsampling_logits_args args = good_logits(), checked;
  change(args);
  report(name, check_logits_args(&args, kWorkspaceBytes, &checked));
}

void sample_cases() {
  using Args = flashsampling_sample_args;
  flashsampling_sample_args checked;
  report("sample NULL", check_sample_args(nullptr, kWorkspaceBytes, &checked));
  sample("sample good", [](Args&) {});
  sample("sample struct_size 0", [](Args& a) { a.struct_size = 0; });
  sample("sample struct_size short", [](Args& a) { a.struct_size = sizeof(a) - 1; });
  sample("sample batch_size 0", [](Args& a) { a.batch_size = 0; });
  sample("sample batch_size large", [](Args& a) { a.batch_size = 100000; });
  sample("sample hidden_size 0", [](Args& a) { a.hidden_size = 0; });
  sample("sample hidden_size 60", [](Args& a) { a.hidden_size = 60; });
  sample("sample shard_rows 0", [](Args& a) { a.shard_rows = 0; });
  sample("sample dtype 2", [](Args& a) { a.dtype = 2; });
  sample("sample noise_scheme 2", [](Args& a) { a.noise_scheme = 2; });
  sample("sample kernel 3", [](Args& a) { a.kernel = 3; });
  sample("sample logprobs_mode 2", [](Args& a) { a.logprobs_mode = 2; });
  sample("sample token_id_type 2", [](Args& a) { a.token_id_type = 2; });
  sample("sample reserved 1", [](Args& a) { a.reserved = 1; });
  sample("sample int32 ids end at 2^31", [](Args& a) { a.vocab_start = 0x80000000u - a.shard_rows; });
  sample("sample int32 ids beyond 2^31", [](Args& a) { a.vocab_start = 0x80000001u - a.shard_rows; });
  sample("sample int64 ids end at 2^32", [](Args& a) {
    a.token_id_type = FLASHSAMPLING_TOKEN_ID_INT64;
    a.vocab_start = 0u - a.shard_rows;
  });
  sample("sample int64 ids beyond 2^32", [](Args& a) {
    a.token_id_type = FLASHSAMPLING_TOKEN_ID_INT64;
    a.vocab_start = 1u - a.shard_rows;
  });
  sample("sample candidates end at 2^32", [](Args& a) {
    a.out_token_ids = nullptr;
    a.out_candidates = at<uint64_t*>(0x3000);
    a.vocab_start = 0u - a.shard_rows;
  });
  sample("sample hidden_states NULL", [](Args& a) { a.hidden_states = nullptr; });
  sample("sample hidden_states misaligned", [](Args& a) { a.hidden_states = at<const void*>(0x1008); });
  sample("sample hidden_states_stride short", [](Args& a) { a.hidden_states_stride = 56; });
  sample("sample hidden_states_stride 68", [](Args& a) { a.hidden_states_stride = 68; });
  sample("sample hidden_states_stride 72", [](Args& a) { a.hidden_states_stride = 72; });
  sample("sample hidden_states_stride negative", [](Args& a) { a.hidden_states_stride = -64; });
  sample("sample weight NULL", [](Args& a) { a.weight = nullptr; });
  sample("sample weight misaligned", [](Args& a) { a.weight = at<const void*>(0x2002); });
  sample("sample weight_stride short", [](Args& a) { a.weight_stride = 8; });
  sample("sample weight_stride 65", [](Args& a) { a.weight_stride = 65; });
  sample("sample weight_stride 2^39", [](Args& a) { a.weight_stride = int64_t{1} << 39; });
  sample("sample temperature misaligned", [](Args& a) { a.temperature = at<const float*>(0x5002); });
  sample("sample seed misaligned", [](Args& a) { a.seed = at<const uint64_t*>(0x5004); });
  sample("sample position misaligned", [](Args& a) { a.position = at<const uint64_t*>(0x5004); });
  sample("sample draw_index misaligned", [](Args& a) { a.draw_index = at<const uint32_t*>(0x5001); });
  sample("sample num_samples misaligned", [](Args& a) { a.num_samples = at<const uint32_t*>(0x5001); });
  sample("sample logit_bias one row", [](Args& a) { a.logit_bias = at<const float*>(0x5000); });
  sample("sample logit_bias misaligned", [](Args& a) { a.logit_bias = at<const float*>(0x5001); });
  sample("sample logit_bias_stride short", [](Args& a) {
    a.logit_bias = at<const float*>(0x5000);
    a.vocab_start = 500;
    a.logit_bias_stride = 1499;
  });
  sample("sample logit_bias_stride enough", [](Args& a) {
    a.logit_bias = at<const float*>(0x5000);
    a.vocab_start = 500;
    a.logit_bias_stride = 1500;
  });
  sample("sample allowed_tokens_stride short", [](Args& a) {
    a.allowed_tokens = at<const int32_t*>(0x5000);
    a.allowed_tokens_stride = 31;
  });
  sample("sample allowed_tokens_stride enough", [](Args& a) {
    a.allowed_tokens = at<const int32_t*>(0x5000);
    a.allowed_tokens_stride = 32;
  });
  sample("sample top_k", [](Args& a) { a.top_k = at<const int32_t*>(0x5000); });
  sample("sample top_p", [](Args& a) { a.top_p = at<const float*>(0x5000); });
  sample("sample min_p", [](Args& a) { a.min_p = at<const float*>(0x5000); });
  sample("sample repetition_penalty", [](Args& a) { a.repetition_penalty = at<const float*>(0x5000); });
  sample("sample presence_penalty", [](Args& a) { a.presence_penalty = at<const float*>(0x5000); });
  sample("sample frequency_penalty", [](Args& a) { a.frequency_penalty = at<const float*>(0x5000); });
  sample("sample prompt_token_mask", [](Args& a) { a.prompt_token_mask = at<const int32_t*>(0x5000); });
  sample("sample output_token_counts", [](Args& a) { a.output_token_counts = at<const int32_t*>(0x5000); });
  sample("sample no output", [](Args& a) { a.out_token_ids = nullptr; });
  sample("sample out_token_ids misaligned", [](Args& a) { a.out_token_ids = at<void*>(0x3002); });
  sample("sample out_token_ids int64 misaligned", [](Args& a) {
    a.out_token_ids = at<void*>(0x3004);
    a.token_id_type = FLASHSAMPLING_TOKEN_ID_INT64;
  });
  sample("sample out_logprobs misaligned", [](Args& a) { a.out_logprobs = at<float*>(0x3002); });
  sample("sample out_log_sum_exp misaligned", [](Args& a) { a.out_log_sum_exp = at<float*>(0x3002); });
  sample("sample out_row_status misaligned", [](Args& a) { a.out_row_status = at<int32_t*>(0x3002); });
  sample("sample out_candidates misaligned", [](Args& a) { a.out_candidates = at<uint64_t*>(0x3004); });
  sample("sample workspace NULL", [](Args& a) { a.workspace = nullptr; });
  sample("sample workspace misaligned", [](Args& a) { a.workspace = at<void*>(0x4080); });
  sample("sample workspace_bytes short", [](Args& a) { a.workspace_bytes = kWorkspaceBytes - 1; });
}

void merge_cases() {
  using Args = flashsampling_merge_args;
  flashsampling_merge_args checked;
  report("merge NULL", check_merge_args(nullptr, &checked));
  merge("merge good", [](Args&) {});
  merge("merge struct_size short", [](Args& a) { a.struct_size = 8; });
  merge("merge num_shards 0", [](Args& a) { a.num_shards = 0; });
  merge("merge batch_size 0", [](Args& a) { a.batch_size = 0; });
  merge("merge noise_scheme 2", [](Args& a) { a.noise_scheme = 2; });
  merge("merge reserved 1", [](Args& a) { a.reserved = 1; });
  merge("merge candidates NULL", [](Args& a) { a.candidates = nullptr; });
  merge("merge candidates misaligned", [](Args& a) { a.candidates = at<const uint64_t*>(0x1004); });
  merge("merge logprobs without log_sum_exp", [](Args& a) { a.out_logprobs = at<float*>(0x3000); });
  merge("merge row_status missing", [](Args& a) { a.out_row_status = at<int32_t*>(0x3000); });
  merge("merge logit_bias_stride negative", [](Args& a) {
    a.logit_bias = at<const float*>(0x5000);
    a.logit_bias_stride = -1;
  });
  merge("merge out_token_ids NULL", [](Args& a) { a.out_token_ids = nullptr; });
}

void logits_cases() {
  using Args = flashsampling_logits_args;
  flashsampling_logits_args checked;
  report("logits NULL", check_logits_args(nullptr, kWorkspaceBytes, &checked));
  logits("logits good", [](Args&) {});
  logits("logits struct_size short", [](Args& a) { a.struct_size = 8; });
  logits("logits batch_size 0", [](Args& a) { a.batch_size = 0; });
  logits("logits vocab_size 0", [](Args& a) { a.vocab_size = 0; });
  logits("logits logits_type 3", [](Args& a) { a.logits_type = 3; });
  logits("logits logprobs_mode 2", [](Args& a) { a.logprobs_mode = 2; });
  logits("logits reserved 1", [](Args& a) { a.reserved = 1; });
  logits("logits int32 ids beyond 2^31", [](Args& a) { a.vocab_start = 0x80000000u; });
  logits("logits NULL logits", [](Args& a) { a.logits = nullptr; });
  logits("logits f32 misaligned", [](Args& a) {
    a.logits = at<const void*>(0x1002);
    a.logits_type = 2;
  });
  logits("logits bf16 at 2 bytes", [](Args& a) { a.logits = at<const void*>(0x1002); });
  logits("logits logits_stride short", [](Args& a) { a.logits_stride = 1000; });
  logits("logits out_token_ids NULL", [](Args& a) { a.out_token_ids = nullptr; });
  logits("logits workspace_bytes short", [](Args& a) { a.workspace_bytes = 0; });
}

// A caller compiled with a newer header: our fields, then some that we do not know.
struct NewerArgs {
  flashsampling_sample_args known;
  uint64_t further;
};

void size_cases() {
  NewerArgs newer = {good_sample(), 0};
  newer.known.struct_size = sizeof(newer);
  flashsampling_sample_args checked;
  report("newer struct, further fields zero", check_sample_args(&newer.known, kWorkspaceBytes, &checked));
  newer.further = 1;
  report("newer struct, further field set", check_sample_args(&newer.known, kWorkspaceBytes, &checked));
}

void default_cases() {
  const flashsampling_sample_args args = good_sample();
  flashsampling_sample_args checked;
  report("defaults", check_sample_args(&args, kWorkspaceBytes, &checked));
  std::printf("defaults filled in: max_num_samples %" PRIu32 ", hidden_states_stride %" PRId64
              ", weight_stride %" PRId64 "\n",
              checked.max_num_samples, checked.hidden_states_stride, checked.weight_stride);
}

void thread_cases() {
  flashsampling_sample_args checked;
  check_sample_args(nullptr, kWorkspaceBytes, &checked);
  std::thread([] { std::printf("text on another thread: \"%s\"\n", last_error()); }).join();
  std::printf("text on this thread is kept: %s\n", std::strlen(last_error()) > 0 ? "yes" : "no");
}

}  // namespace

int main() {
  sample_cases();
  merge_cases();
  logits_cases();
  size_cases();
  default_cases();
  thread_cases();
  return 0;
}
