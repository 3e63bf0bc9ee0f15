// The tile shapes in use, one per batch width, and the launcher of each (sm90_n*.cu).
#pragma once

#include "../kernels/sm90/config.h"
#include "launch.h"

namespace flashsampling {

struct Sm90Args;

template <int kWidth>
struct Sm90WidthOf;
//                                             batch, vocab, hidden, weight and hidden stages, cluster, chunk
template <>
struct Sm90WidthOf<8> {
  using type = Sm90Config<8, 128, 64, 11, 8, 1, 8>;
};
template <>
struct Sm90WidthOf<16> {
  using type = Sm90Config<16, 128, 64, 10, 8, 1, 16>;
};
template <>
struct Sm90WidthOf<32> {
  using type = Sm90Config<32, 128, 64, 9, 6, 1, 16>;
};
template <>
struct Sm90WidthOf<64> {
  using type = Sm90Config<64, 128, 128, 4, 4, 1, 16>;
};
template <>
struct Sm90WidthOf<128> {
  using type = Sm90Config<128, 128, 64, 8, 4, 2, 16>;
};
template <>
struct Sm90WidthOf<256> {
  using type = Sm90Config<256, 128, 64, 5, 3, 1, 16>;
};
// The widest tile has no memory left for log-masses beside its stages: without them, it has one stage more.
using Sm90PlainWidth256 = Sm90Config<256, 128, 64, 6, 3, 1, 16, false>;

template <int kWidth>
using Sm90Width = typename Sm90WidthOf<kWidth>::type;

#define FLASHSAMPLING_SM90_DECLARE(WIDTH) \
  cudaError_t sm90_prepare_n##WIDTH();    \
  cudaError_t sm90_sample_n##WIDTH(const DeviceInfo& device, const Sm90Args& args, cudaStream_t stream);
FLASHSAMPLING_SM90_DECLARE(8)
FLASHSAMPLING_SM90_DECLARE(16)
FLASHSAMPLING_SM90_DECLARE(32)
FLASHSAMPLING_SM90_DECLARE(64)
FLASHSAMPLING_SM90_DECLARE(128)
FLASHSAMPLING_SM90_DECLARE(256)
#undef FLASHSAMPLING_SM90_DECLARE

}  // namespace flashsampling
