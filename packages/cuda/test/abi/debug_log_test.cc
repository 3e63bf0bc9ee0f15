// Logs one call of each kind, as the ABI does before a launch. Linked with the logger alone; abi.test.ts compares
// standard error.
#include "../../csrc/abi/debug_log.h"

using namespace flashsampling;

namespace {

template <typename Pointer>
Pointer at(uint64_t address) {
  return reinterpret_cast<Pointer>(static_cast<uintptr_t>(address));
}

}  // namespace

int main() {
  flashsampling_context context;
  context.device.device_index = 3;
  const auto stream = at<flashsampling_stream>(0x40);

  flashsampling_sample_args sample = {};
  sample.batch_size = 4;
  sample.hidden_size = 64;
  sample.weight = at<const void*>(0x2000);
  sample.weight_stride = 72;
  sample.seed = at<const uint64_t*>(0x5000);
  sample.workspace = at<void*>(0x4000);
  sample.workspace_bytes = 4096;
  log_call(context, sample, stream);

  flashsampling_merge_args merge = {};
  merge.num_shards = 2;
  log_call(context, merge, stream);

  flashsampling_logits_args logits = {};
  log_call(context, logits, stream);
  return 0;
}
