// Weights stored as bfloat16.

#include "../include/dense.wgsl"

alias Words = vec4<u32>;

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  let even = bitcast<vec4<f32>>(words << vec4<u32>(16u));
  let odd = bitcast<vec4<f32>>(words & vec4<u32>(0xffff0000u));
  return Chunk(vec4<f32>(even.x, odd.x, even.y, odd.y), vec4<f32>(even.z, odd.z, even.w, odd.w));
}
