// Weights stored as fp32.

#include "../include/dense.wgsl"

struct Words {
  low: vec4<u32>,
  high: vec4<u32>,
}

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  return Chunk(bitcast<vec4<f32>>(words.low), bitcast<vec4<f32>>(words.high));
}
