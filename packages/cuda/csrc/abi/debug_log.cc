#include "debug_log.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace flashsampling {
namespace {

bool contains_scope(const char* scopes, const char* scope) {
  const size_t length = std::strlen(scope);
  for (const char* at = scopes; at != nullptr; at = std::strchr(at, ',')) {
    if (*at == ',') at++;
    if (std::strncmp(at, scope, length) == 0 && (at[length] == ',' || at[length] == '\0')) return true;
  }
  return false;
}

// Read once: the environment must not change under a reader.
bool is_enabled() {
  static const bool enabled = [] {
    const char* scopes = std::getenv("FLASHSAMPLING_DEBUG");
    return scopes != nullptr && contains_scope(scopes, "abi");
  }();
  return enabled;
}

// One line, written whole and flushed, so that lines of several threads do not mix.
class Line {
 public:
  Line(const char* function, const flashsampling_context& context, flashsampling_stream stream) {
    add("%s device=%d stream=%p", function, context.device.device_index, stream);
  }
  ~Line() {
    std::fprintf(stderr, "flashsampling: %s\n", text_);
    std::fflush(stderr);
  }

  void number(const char* name, int64_t value) { add(" %s=%" PRId64, name, value); }
  void pointer(const char* name, const void* value) {
    if (value != nullptr) add(" %s=%p", name, value);
  }

  template <typename Args>
  void rows(const Args& args) {
    pointer("temperature", args.temperature);
    pointer("seed", args.seed);
    pointer("position", args.position);
    pointer("draw_index", args.draw_index);
    pointer("num_samples", args.num_samples);
    pointer("logit_bias", args.logit_bias);
    number("logit_bias_stride", args.logit_bias_stride);
  }

  template <typename Args>
  void choices(const Args& args) {
    number("max_num_samples", args.max_num_samples);
    number("noise_scheme", args.noise_scheme);
    number("logprobs_mode", args.logprobs_mode);
    number("token_id_type", args.token_id_type);
  }

  template <typename Args>
  void outputs(const Args& args) {
    pointer("out_token_ids", args.out_token_ids);
    pointer("out_logprobs", args.out_logprobs);
    pointer("out_log_sum_exp", args.out_log_sum_exp);
    pointer("out_row_status", args.out_row_status);
  }

 private:
  template <typename... Values>
  void add(const char* format, Values... values) {
    const int written = std::snprintf(text_ + used_, sizeof(text_) - used_, format, values...);
    if (written > 0) used_ += static_cast<size_t>(written);
    if (used_ >= sizeof(text_)) used_ = sizeof(text_) - 1;
  }

  char text_[2048] = "";
  size_t used_ = 0;
};

}  // namespace

void log_call(const flashsampling_context& context, const flashsampling_sample_args& args,
              flashsampling_stream stream) {
  if (!is_enabled()) return;
  Line line("flashsampling_sample", context, stream);
  line.number("batch_size", args.batch_size);
  line.number("hidden_size", args.hidden_size);
  line.number("shard_rows", args.shard_rows);
  line.number("vocab_start", args.vocab_start);
  line.number("dtype", args.dtype);
  line.number("kernel", args.kernel);
  line.choices(args);
  line.pointer("hidden_states", args.hidden_states);
  line.number("hidden_states_stride", args.hidden_states_stride);
  line.pointer("weight", args.weight);
  line.number("weight_stride", args.weight_stride);
  line.rows(args);
  line.pointer("allowed_tokens", args.allowed_tokens);
  line.number("allowed_tokens_stride", args.allowed_tokens_stride);
  line.outputs(args);
  line.pointer("out_candidates", args.out_candidates);
  line.pointer("workspace", args.workspace);
  line.number("workspace_bytes", static_cast<int64_t>(args.workspace_bytes));
}

void log_call(const flashsampling_context& context, const flashsampling_merge_args& args, flashsampling_stream stream) {
  if (!is_enabled()) return;
  Line line("flashsampling_merge", context, stream);
  line.number("num_shards", args.num_shards);
  line.number("batch_size", args.batch_size);
  line.choices(args);
  line.pointer("candidates", args.candidates);
  line.pointer("log_sum_exp", args.log_sum_exp);
  line.pointer("row_status", args.row_status);
  line.rows(args);
  line.outputs(args);
}

void log_call(const flashsampling_context& context, const flashsampling_logits_args& args,
              flashsampling_stream stream) {
  if (!is_enabled()) return;
  Line line("flashsampling_sample_from_logits", context, stream);
  line.number("batch_size", args.batch_size);
  line.number("vocab_size", args.vocab_size);
  line.number("vocab_start", args.vocab_start);
  line.number("logits_type", args.logits_type);
  line.choices(args);
  line.pointer("logits", args.logits);
  line.number("logits_stride", args.logits_stride);
  line.rows(args);
  line.pointer("allowed_tokens", args.allowed_tokens);
  line.number("allowed_tokens_stride", args.allowed_tokens_stride);
  line.outputs(args);
  line.pointer("workspace", args.workspace);
  line.number("workspace_bytes", static_cast<int64_t>(args.workspace_bytes));
}

}  // namespace flashsampling
