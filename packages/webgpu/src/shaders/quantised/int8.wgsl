// Weights stored as unsigned bytes, one scale a block.

#include "include/blocks.wgsl"

alias Words = vec4<u32>;
const QUANT_BITS: u32 = 8u;

// Bytes stay where they are in their half of the word, the second of each as 256 times its value.
const WEIGHT_UNITS: vec4<f32> = vec4<f32>(1.0, 256.0, 1.0, 256.0);

fn bytes_of(word: u32) -> vec4<f32> {
  let bits = vec4<u32>(vec2<u32>(word), vec2<u32>(word >> 16u)) & vec4<u32>(255u, 65280u, 255u, 65280u);
  return bitcast<vec4<f32>>(bits | vec4<u32>(0x4b000000u));
}

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  let pair = select(words.xy, words.zw, part == 1u);
  // Exact: all are whole numbers below 2^24.
  let base = vec4<f32>(8388608.0) + WEIGHT_UNITS * zero_point;
  return Chunk(bytes_of(pair.x) - base, bytes_of(pair.y) - base);
}
