// Hopper kernel for batches of up to 256 rows, with log-masses and without.
#include "sm90_launch.cuh"

namespace flashsampling {

cudaError_t sm90_prepare_n256() {
  const cudaError_t error = sm90_prepare_both<Sm90Width<256>>();
  return error != cudaSuccess ? error : sm90_prepare_both<Sm90PlainWidth256>();
}

cudaError_t sm90_sample_n256(const DeviceInfo& device, const Sm90Args& args, cudaStream_t stream) {
  return wants_log_mass(args.params.out) ? sm90_launch_either<Sm90Width<256>>(device, args, stream)
                                         : sm90_launch_either<Sm90PlainWidth256>(device, args, stream);
}

}  // namespace flashsampling
