// Writes a call's arguments to stderr before the launch, so that a crash on the GPU leaves them behind.
// On when FLASHSAMPLING_DEBUG, a list of scopes separated by commas, contains "abi".
#pragma once

#include "context.h"

namespace flashsampling {

void log_call(const flashsampling_context& context, const flashsampling_sample_args& args, flashsampling_stream stream);
void log_call(const flashsampling_context& context, const flashsampling_merge_args& args, flashsampling_stream stream);
void log_call(const flashsampling_context& context, const flashsampling_logits_args& args, flashsampling_stream stream);

}  // namespace flashsampling
