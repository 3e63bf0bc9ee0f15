// Chooses the batch width and the grid of the portable kernel, and splits what one pass cannot hold: many rows, many
// draws.
#include <algorithm>
#include <iterator>

#include "../kernels/smxx_tile_sample.cuh"
#include "launch.h"

namespace flashsampling {

namespace {

using Kernel = void (*)(smxx::Args);

struct Variant {
  uint32_t rows;
  uint32_t shared_bytes;
  Kernel kernels[2];  // by Dtype
};

template <int kTileBatch>
constexpr Variant variant() {
  using Config = smxx::Config<kTileBatch>;
  return {kTileBatch,
          static_cast<uint32_t>(sizeof(smxx::Shared<Config>)),
          {smxx::smxx_tile_sample<Config, Dtype::kBf16>, smxx::smxx_tile_sample<Config, Dtype::kF16>}};
}

const Variant kVariants[] = {variant<8>(), variant<16>(), variant<32>(), variant<64>(), variant<128>()};

// Static shared memory of finish_pass(), in the alignment of the dynamic part.
constexpr uint32_t kStaticBytes = 128;

bool fits(const DeviceInfo& device, const Variant& variant) {
  return variant.shared_bytes + kStaticBytes <= static_cast<uint32_t>(device.max_shared_bytes);
}

// The narrowest variant that holds the rows, or the widest that the device has room for: width costs matrix
// instructions and traffic inside the chip, never bytes of weight.
const Variant* choose_variant(const DeviceInfo& device, uint32_t num_rows) {
  const Variant* chosen = nullptr;
  for (const Variant& variant : kVariants) {
    if (!fits(device, variant)) break;
    chosen = &variant;
    if (num_rows <= variant.rows) break;
  }
  return chosen;
}

// All blocks run at once: they share the rows evenly, and a second wave would wait for the first.
uint32_t num_blocks(const DeviceInfo& device, const Variant& variant, uint32_t num_groups) {
  const uint32_t multiprocessors = std::max(1, device.num_multiprocessors);
  // A multiprocessor has one reserved KiB more than one block may ask for, and reserves one for each block.
  const uint32_t per_multiprocessor =
      2 * (variant.shared_bytes + kStaticBytes + 1024) <= device.max_shared_bytes + 1024u ? 2 : 1;
  uint32_t blocks = multiprocessors * per_multiprocessor;
  if (blocks > kMaxBlocks) blocks = std::min(multiprocessors, kMaxBlocks);
  return std::max(1u, std::min(blocks, num_groups));
}

}  // namespace

cudaError_t smxx_prepare(const DeviceInfo& device) {
  for (const Variant& variant : kVariants) {
    if (!fits(device, variant)) break;
    for (Kernel kernel : variant.kernels) {
      const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                     static_cast<int>(variant.shared_bytes));
      if (error != cudaSuccess) return error;
    }
  }
  return cudaSuccess;
}

cudaError_t smxx_sample(const DeviceInfo& device, const SampleParams& params, cudaStream_t stream) {
  smxx::Args args;
  args.params = params;
  args.first_group = params.vocab_start / smxx::kGroup;
  const uint64_t token_end = static_cast<uint64_t>(params.vocab_start) + params.shard_rows;
  args.num_groups = static_cast<uint32_t>((token_end + smxx::kGroup - 1) / smxx::kGroup) - args.first_group;
  for (uint32_t row = 0; row < params.batch_size;) {
    const Variant* variant = choose_variant(device, params.batch_size - row);
    if (variant == nullptr) return cudaErrorInvalidConfiguration;
    args.pass.first_row = row;
    args.pass.num_rows = std::min(params.batch_size - row, variant->rows);
    const uint32_t draws_per_pass = kMaxSlots / args.pass.num_rows;
    for (uint32_t draw = 0; draw < params.max_num_samples; draw += args.pass.num_draws) {
      args.pass.first_draw = draw;
      args.pass.num_draws = std::min(params.max_num_samples - draw, draws_per_pass);
      const uint32_t blocks = num_blocks(device, *variant, args.num_groups);
      const Kernel kernel = variant->kernels[static_cast<uint32_t>(params.dtype)];
      kernel<<<blocks, smxx::kNumThreads, variant->shared_bytes, stream>>>(args);
      const cudaError_t error = cudaGetLastError();
      if (error != cudaSuccess) return error;
    }
    row += args.pass.num_rows;
  }
  return cudaSuccess;
}

}  // namespace flashsampling
