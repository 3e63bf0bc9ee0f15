#include "check_args.h"

#include <cinttypes>
#include <cstddef>
#include <cstring>

#include "error.h"

namespace flashsampling {
namespace {

constexpr uint64_t kMatrixAlignment = 16;  // of rows that are loaded in 16-byte pieces
constexpr uint64_t kWorkspaceAlignment = 256;
constexpr uint32_t kElementsPerPiece = 8;  // 16 bytes of bf16 or f16
// Bytes between rows fit the 40 bits of a tensor map, and an offset into a matrix fits 63 bits.
constexpr int64_t kStrideLimit = int64_t{1} << 39;
constexpr uint64_t kTokenIdLimit = uint64_t{1} << 32;
constexpr uint64_t kInt32TokenIdLimit = uint64_t{1} << 31;

// Sizes of the structs in the first released header: what every caller has at least.
template <typename Args>
constexpr size_t kFirstSize = 0;
template <>
constexpr size_t kFirstSize<flashsampling_sample_args> =
    offsetof(flashsampling_sample_args, workspace_bytes) + sizeof(uint64_t);
template <>
constexpr size_t kFirstSize<flashsampling_merge_args> =
    offsetof(flashsampling_merge_args, out_row_status) + sizeof(void*);
template <>
constexpr size_t kFirstSize<flashsampling_logits_args> =
    offsetof(flashsampling_logits_args, workspace_bytes) + sizeof(uint64_t);

bool is_zero(const char* bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

template <typename Args>
flashsampling_status copy_args(const Args* args, const char* action, Args* out) {
  FS_REQUIRE_ARGUMENT(args != nullptr, "Cannot %s as \"args\" must not be NULL", action);
  const size_t size = args->struct_size;
  FS_REQUIRE_ARGUMENT(size >= kFirstSize<Args>,
                      "Cannot %s as \"struct_size\" must be sizeof(the struct), at least %zu: current value is %zu",
                      action, kFirstSize<Args>, size);
  const size_t known = size < sizeof(Args) ? size : sizeof(Args);
  FS_REQUIRE(is_zero(reinterpret_cast<const char*>(args) + known, size - known), FLASHSAMPLING_NOT_SERVED,
             "Cannot %s as a field is set that this version of the library does not know: it knows %zu bytes, "
             "\"struct_size\" is %zu",
             action, sizeof(Args), size);
  std::memset(out, 0, sizeof(Args));
  std::memcpy(out, args, known);
  return FLASHSAMPLING_OK;
}

// What all calls have in common: how a failure is worded.
struct Checker {
  const char* action;

  flashsampling_status at_least_one(uint64_t value, const char* name) const {
    FS_REQUIRE_ARGUMENT(value >= 1, "Cannot %s as \"%s\" must be >= 1: current value is 0", action, name);
    return FLASHSAMPLING_OK;
  }

  flashsampling_status enumerator(uint32_t value, uint32_t count, const char* name) const {
    FS_REQUIRE_ARGUMENT(value < count, "Cannot %s as \"%s\" must be from 0 to %" PRIu32 ": current value is %" PRIu32,
                        action, name, count - 1, value);
    return FLASHSAMPLING_OK;
  }

  flashsampling_status zero(uint32_t value, const char* name) const {
    FS_REQUIRE_ARGUMENT(value == 0, "Cannot %s as \"%s\" must be 0: current value is %" PRIu32, action, name, value);
    return FLASHSAMPLING_OK;
  }

  flashsampling_status not_null(const void* pointer, const char* name) const {
    FS_REQUIRE_ARGUMENT(pointer != nullptr, "Cannot %s as \"%s\" must not be NULL", action, name);
    return FLASHSAMPLING_OK;
  }

  // NULL is aligned.
  flashsampling_status aligned(const void* pointer, uint64_t alignment, const char* name) const {
    const uint64_t address = reinterpret_cast<uintptr_t>(pointer);
    FS_REQUIRE_ARGUMENT(address % alignment == 0,
                        "Cannot %s as \"%s\" must be aligned to %" PRIu64 " bytes: current value is 0x%" PRIx64, action,
                        name, alignment, address);
    return FLASHSAMPLING_OK;
  }

  flashsampling_status not_served(const void* pointer, const char* name) const {
    FS_REQUIRE(pointer == nullptr, FLASHSAMPLING_NOT_SERVED,
               "Cannot %s as \"%s\" must be NULL: this version of the library does not serve it", action, name);
    return FLASHSAMPLING_OK;
  }

  // Rows of 16-byte pieces; a stride of 0 becomes the width.
  flashsampling_status matrix(const void* pointer, uint32_t width, int64_t* stride, const char* name,
                              const char* stride_name) const {
    FS_RETURN_IF_FAILED(not_null(pointer, name));
    FS_RETURN_IF_FAILED(aligned(pointer, kMatrixAlignment, name));
    if (*stride == 0) *stride = width;
    FS_RETURN_IF_FAILED(row_stride(*stride, width, stride_name));
    FS_REQUIRE_ARGUMENT(*stride % kElementsPerPiece == 0,
                        "Cannot %s as \"%s\" must be a multiple of %" PRIu32 ": current value is %" PRId64, action,
                        stride_name, kElementsPerPiece, *stride);
    return FLASHSAMPLING_OK;
  }

  flashsampling_status row_stride(int64_t stride, uint64_t width, const char* name) const {
    FS_REQUIRE_ARGUMENT(stride >= 0 && static_cast<uint64_t>(stride) >= width,
                        "Cannot %s as \"%s\" must be >= %" PRIu64 " (one row): current value is %" PRId64, action, name,
                        width, stride);
    FS_REQUIRE_ARGUMENT(stride < kStrideLimit, "Cannot %s as \"%s\" must be < %" PRId64 ": current value is %" PRId64,
                        action, name, kStrideLimit, stride);
    return FLASHSAMPLING_OK;
  }

  // An array with one row for all or one row each; `width` is 0 where the needed length is not known.
  flashsampling_status table(const void* pointer, uint64_t width, int64_t stride, const char* name,
                             const char* stride_name) const {
    if (pointer == nullptr) return FLASHSAMPLING_OK;
    FS_RETURN_IF_FAILED(aligned(pointer, sizeof(float), name));
    if (stride == 0) return FLASHSAMPLING_OK;
    return row_stride(stride, width, stride_name);
  }

  // Token ids [start, start + count) as unsigned 32-bit numbers, and as what they are written as.
  flashsampling_status token_range(uint32_t start, uint32_t count, bool written_as_int32,
                                   const char* count_name) const {
    const uint64_t end = static_cast<uint64_t>(start) + count;
    const uint64_t limit = written_as_int32 ? kInt32TokenIdLimit : kTokenIdLimit;
    FS_REQUIRE_ARGUMENT(end <= limit,
                        "Cannot %s as \"vocab_start\" + \"%s\" must be <= %" PRIu64 "%s: current value is %" PRIu64,
                        action, count_name, limit, written_as_int32 ? " with int32 token ids" : "", end);
    return FLASHSAMPLING_OK;
  }
};

// The arrays of row parameters that every kind of call has.
template <typename Args>
flashsampling_status check_rows(const Checker& check, const Args& args) {
  FS_RETURN_IF_FAILED(check.aligned(args.temperature, sizeof(float), "temperature"));
  FS_RETURN_IF_FAILED(check.aligned(args.seed, sizeof(uint64_t), "seed"));
  FS_RETURN_IF_FAILED(check.aligned(args.position, sizeof(uint64_t), "position"));
  FS_RETURN_IF_FAILED(check.aligned(args.draw_index, sizeof(uint32_t), "draw_index"));
  return check.aligned(args.num_samples, sizeof(uint32_t), "num_samples");
}

template <typename Args>
flashsampling_status check_outputs(const Checker& check, const Args& args) {
  const bool is_int64 = args.token_id_type == FLASHSAMPLING_TOKEN_ID_INT64;
  FS_RETURN_IF_FAILED(check.aligned(args.out_token_ids, is_int64 ? sizeof(int64_t) : sizeof(int32_t), "out_token_ids"));
  FS_RETURN_IF_FAILED(check.aligned(args.out_logprobs, sizeof(float), "out_logprobs"));
  FS_RETURN_IF_FAILED(check.aligned(args.out_log_sum_exp, sizeof(float), "out_log_sum_exp"));
  return check.aligned(args.out_row_status, sizeof(int32_t), "out_row_status");
}

template <typename Args>
flashsampling_status check_choices(const Checker& check, const Args& args) {
  FS_RETURN_IF_FAILED(check.enumerator(args.noise_scheme, 2, "noise_scheme"));
  FS_RETURN_IF_FAILED(check.enumerator(args.logprobs_mode, 2, "logprobs_mode"));
  FS_RETURN_IF_FAILED(check.enumerator(args.token_id_type, 2, "token_id_type"));
  return check.zero(args.reserved, "reserved");
}

uint64_t mask_words(uint64_t num_tokens) { return (num_tokens + 31) / 32; }

}  // namespace

flashsampling_status check_sample_args(const flashsampling_sample_args* args, uint64_t workspace_bytes,
                                       flashsampling_sample_args* out) {
  const Checker check{"sample tokens"};
  FS_RETURN_IF_FAILED(copy_args(args, check.action, out));
  flashsampling_sample_args& a = *out;

  FS_RETURN_IF_FAILED(check.at_least_one(a.batch_size, "batch_size"));
  FS_RETURN_IF_FAILED(check.at_least_one(a.hidden_size, "hidden_size"));
  FS_REQUIRE_ARGUMENT(a.hidden_size % kElementsPerPiece == 0,
                      "Cannot %s as \"hidden_size\" must be a multiple of %" PRIu32 ": current value is %" PRIu32,
                      check.action, kElementsPerPiece, a.hidden_size);
  FS_RETURN_IF_FAILED(check.at_least_one(a.shard_rows, "shard_rows"));
  if (a.max_num_samples == 0) a.max_num_samples = 1;

  FS_RETURN_IF_FAILED(check.enumerator(a.dtype, 2, "dtype"));
  FS_RETURN_IF_FAILED(check.enumerator(a.kernel, 3, "kernel"));
  FS_RETURN_IF_FAILED(check_choices(check, a));
  const bool writes_int32 = a.out_token_ids != nullptr && a.token_id_type == FLASHSAMPLING_TOKEN_ID_INT32;
  FS_RETURN_IF_FAILED(check.token_range(a.vocab_start, a.shard_rows, writes_int32, "shard_rows"));

  FS_RETURN_IF_FAILED(
      check.matrix(a.hidden_states, a.hidden_size, &a.hidden_states_stride, "hidden_states", "hidden_states_stride"));
  FS_RETURN_IF_FAILED(check.matrix(a.weight, a.hidden_size, &a.weight_stride, "weight", "weight_stride"));

  const uint64_t vocab_end = static_cast<uint64_t>(a.vocab_start) + a.shard_rows;
  FS_RETURN_IF_FAILED(check_rows(check, a));
  FS_RETURN_IF_FAILED(check.table(a.logit_bias, vocab_end, a.logit_bias_stride, "logit_bias", "logit_bias_stride"));
  FS_RETURN_IF_FAILED(check.table(a.allowed_tokens, mask_words(vocab_end), a.allowed_tokens_stride, "allowed_tokens",
                                  "allowed_tokens_stride"));

  FS_RETURN_IF_FAILED(check.not_served(a.top_k, "top_k"));
  FS_RETURN_IF_FAILED(check.not_served(a.top_p, "top_p"));
  FS_RETURN_IF_FAILED(check.not_served(a.min_p, "min_p"));
  FS_RETURN_IF_FAILED(check.not_served(a.repetition_penalty, "repetition_penalty"));
  FS_RETURN_IF_FAILED(check.not_served(a.presence_penalty, "presence_penalty"));
  FS_RETURN_IF_FAILED(check.not_served(a.frequency_penalty, "frequency_penalty"));
  FS_RETURN_IF_FAILED(check.not_served(a.prompt_token_mask, "prompt_token_mask"));
  FS_RETURN_IF_FAILED(check.not_served(a.output_token_counts, "output_token_counts"));

  FS_REQUIRE_ARGUMENT(a.out_token_ids != nullptr || a.out_candidates != nullptr,
                      "Cannot %s as \"out_token_ids\" or \"out_candidates\" must not be NULL", check.action);
  FS_RETURN_IF_FAILED(check_outputs(check, a));
  FS_RETURN_IF_FAILED(check.aligned(a.out_candidates, sizeof(uint64_t), "out_candidates"));
  return check_workspace(a.workspace, a.workspace_bytes, workspace_bytes);
}

flashsampling_status check_merge_args(const flashsampling_merge_args* args, flashsampling_merge_args* out) {
  const Checker check{"merge shards"};
  FS_RETURN_IF_FAILED(copy_args(args, check.action, out));
  flashsampling_merge_args& a = *out;

  FS_RETURN_IF_FAILED(check.at_least_one(a.num_shards, "num_shards"));
  FS_RETURN_IF_FAILED(check.at_least_one(a.batch_size, "batch_size"));
  if (a.max_num_samples == 0) a.max_num_samples = 1;
  FS_RETURN_IF_FAILED(check_choices(check, a));

  FS_RETURN_IF_FAILED(check.not_null(a.candidates, "candidates"));
  FS_RETURN_IF_FAILED(check.aligned(a.candidates, sizeof(uint64_t), "candidates"));
  FS_REQUIRE_ARGUMENT(
      a.log_sum_exp != nullptr || (a.out_logprobs == nullptr && a.out_log_sum_exp == nullptr),
      "Cannot %s as \"log_sum_exp\" must not be NULL when \"out_logprobs\" or \"out_log_sum_exp\" is asked for",
      check.action);
  FS_REQUIRE_ARGUMENT(a.row_status != nullptr || a.out_row_status == nullptr,
                      "Cannot %s as \"row_status\" must not be NULL when \"out_row_status\" is asked for",
                      check.action);
  FS_RETURN_IF_FAILED(check.aligned(a.log_sum_exp, sizeof(float), "log_sum_exp"));
  FS_RETURN_IF_FAILED(check.aligned(a.row_status, sizeof(int32_t), "row_status"));
  FS_RETURN_IF_FAILED(check_rows(check, a));
  FS_RETURN_IF_FAILED(check.table(a.logit_bias, 0, a.logit_bias_stride, "logit_bias", "logit_bias_stride"));

  FS_RETURN_IF_FAILED(check.not_null(a.out_token_ids, "out_token_ids"));
  return check_outputs(check, a);
}

flashsampling_status check_logits_args(const flashsampling_logits_args* args, uint64_t workspace_bytes,
                                       flashsampling_logits_args* out) {
  const Checker check{"sample from logits"};
  FS_RETURN_IF_FAILED(copy_args(args, check.action, out));
  flashsampling_logits_args& a = *out;

  FS_RETURN_IF_FAILED(check.at_least_one(a.batch_size, "batch_size"));
  FS_RETURN_IF_FAILED(check.at_least_one(a.vocab_size, "vocab_size"));
  if (a.max_num_samples == 0) a.max_num_samples = 1;
  FS_RETURN_IF_FAILED(check.enumerator(a.logits_type, 3, "logits_type"));
  FS_RETURN_IF_FAILED(check_choices(check, a));
  FS_RETURN_IF_FAILED(
      check.token_range(a.vocab_start, a.vocab_size, a.token_id_type == FLASHSAMPLING_TOKEN_ID_INT32, "vocab_size"));

  FS_RETURN_IF_FAILED(check.not_null(a.logits, "logits"));
  FS_RETURN_IF_FAILED(check.aligned(a.logits, a.logits_type == 2 ? sizeof(float) : sizeof(uint16_t), "logits"));
  if (a.logits_stride == 0) a.logits_stride = a.vocab_size;
  FS_RETURN_IF_FAILED(check.row_stride(a.logits_stride, a.vocab_size, "logits_stride"));

  const uint64_t vocab_end = static_cast<uint64_t>(a.vocab_start) + a.vocab_size;
  FS_RETURN_IF_FAILED(check_rows(check, a));
  FS_RETURN_IF_FAILED(check.table(a.logit_bias, vocab_end, a.logit_bias_stride, "logit_bias", "logit_bias_stride"));
  FS_RETURN_IF_FAILED(check.table(a.allowed_tokens, mask_words(vocab_end), a.allowed_tokens_stride, "allowed_tokens",
                                  "allowed_tokens_stride"));

  FS_RETURN_IF_FAILED(check.not_null(a.out_token_ids, "out_token_ids"));
  FS_RETURN_IF_FAILED(check_outputs(check, a));
  return check_workspace(a.workspace, a.workspace_bytes, workspace_bytes);
}

flashsampling_status check_workspace(const void* workspace, uint64_t workspace_bytes, uint64_t needed_bytes) {
  const Checker check{"use the workspace"};
  FS_RETURN_IF_FAILED(check.not_null(workspace, "workspace"));
  FS_RETURN_IF_FAILED(check.aligned(workspace, kWorkspaceAlignment, "workspace"));
  FS_REQUIRE(workspace_bytes >= needed_bytes, FLASHSAMPLING_WORKSPACE_TOO_SMALL,
             "Cannot %s as \"workspace_bytes\" must be >= %" PRIu64 ": current value is %" PRIu64, check.action,
             needed_bytes, workspace_bytes);
  return FLASHSAMPLING_OK;
}

}  // namespace flashsampling
