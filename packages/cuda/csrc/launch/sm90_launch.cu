// Chooses the batch width of the Hopper kernel, and splits what one pass cannot hold: rows above 256, many draws.
#include <algorithm>
#include <iterator>

#include "../kernels/sm90/pass.cuh"
#include "launch.h"
#include "sm90_widths.h"

namespace flashsampling {

namespace {

struct Width {
  uint32_t rows;
  cudaError_t (*prepare)();
  cudaError_t (*sample)(const DeviceInfo&, const Sm90Args&, cudaStream_t);
};

constexpr Width kWidths[] = {
    {8, sm90_prepare_n8, sm90_sample_n8},       {16, sm90_prepare_n16, sm90_sample_n16},
    {32, sm90_prepare_n32, sm90_sample_n32},    {64, sm90_prepare_n64, sm90_sample_n64},
    {128, sm90_prepare_n128, sm90_sample_n128}, {256, sm90_prepare_n256, sm90_sample_n256},
};

// The narrowest kernel that holds the rows: width costs matrix instructions, never bytes of weight.
const Width& width_for(uint32_t num_rows) {
  for (const Width& width : kWidths) {
    if (num_rows <= width.rows) return width;
  }
  return kWidths[std::size(kWidths) - 1];
}

}  // namespace

cudaError_t sm90_prepare(const DeviceInfo&) {
  for (const Width& width : kWidths) {
    const cudaError_t error = width.prepare();
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t sm90_sample(const DeviceInfo& device, const SampleParams& params, cudaStream_t stream) {
  // The copy engine counts rows in 32 bits with a sign.
  if (params.shard_rows > 0x7FFFFFFFu) return cudaErrorInvalidValue;
  Sm90Args args;
  args.params = params;
  // Units of 16 tokens are counted in global ids, so that tokens t and t + 8 of one unit share their Philox call.
  args.first_unit = params.vocab_start / kUnit;
  args.num_units = (params.vocab_start + (params.shard_rows - 1)) / kUnit - args.first_unit + 1;
  for (uint64_t row = 0; row < params.batch_size; row += kMaxTileBatch) {
    args.pass.first_row = static_cast<uint32_t>(row);
    args.pass.num_rows = std::min(params.batch_size - args.pass.first_row, kMaxTileBatch);
    const Width& width = width_for(args.pass.num_rows);
    const uint32_t draws_per_pass = kMaxSlots / width.rows;
    for (uint64_t draw = 0; draw < params.max_num_samples; draw += draws_per_pass) {
      args.pass.first_draw = static_cast<uint32_t>(draw);
      args.pass.num_draws = std::min(params.max_num_samples - args.pass.first_draw, draws_per_pass);
      const cudaError_t error = width.sample(device, args, stream);
      if (error != cudaSuccess) return error;
    }
  }
  return cudaSuccess;
}

}  // namespace flashsampling
