// Noise bits and values by themselves, for tests: [n] token, two words of a key -> bits, fp32 noise of the bits; and the
// noise of given bits, where the token is 0xffffffff.

#include "include/noise.wgsl"

@group(0) @binding(0) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> values: array<vec2<u32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= arrayLength(&keys)) {
    return;
  }
  let key = keys[id.x];
  var bits = key.y;
  if (key.x != 0xffffffffu) {
    bits = noise_bits(key.x, key.yz);
  }
  values[id.x] = vec2<u32>(bits, bitcast<u32>(gumbel_noise(bits)));
}
