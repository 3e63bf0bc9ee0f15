// Checks of everything a caller can get wrong that needs no GPU to be seen. Pure functions of the arguments: tests call
// them on machines without a driver.
#pragma once

#include "flashsampling.h"

namespace flashsampling {

// Each copies a caller's struct, whose size may be that of an older or a newer header, into one of this header's size
// (what the caller's lacks is zero), checks it and fills in the documented defaults. On failure the text is kept and
// *out is without meaning. `workspace_bytes` is what the call needs.
flashsampling_status check_sample_args(const flashsampling_sample_args* args, uint64_t workspace_bytes,
                                       flashsampling_sample_args* out);
flashsampling_status check_merge_args(const flashsampling_merge_args* args, flashsampling_merge_args* out);
flashsampling_status check_logits_args(const flashsampling_logits_args* args, uint64_t workspace_bytes,
                                       flashsampling_logits_args* out);

// Memory that flashsampling_workspace_init() or a call is given.
flashsampling_status check_workspace(const void* workspace, uint64_t workspace_bytes, uint64_t needed_bytes);

}  // namespace flashsampling
