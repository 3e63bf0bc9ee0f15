// Weights stored as nibbles, the lower first, one scale a block.

#include "include/blocks.wgsl"

alias Words = vec2<u32>;
const QUANT_BITS: u32 = 4u;

// A nibble stays where it is in its half of the word: as 16^k times its value.
const WEIGHT_UNITS: vec4<f32> = vec4<f32>(1.0, 16.0, 256.0, 4096.0);

// The bits of 2^23 plus a whole number below 2^23 are those of 2^23 with the number's: no conversion from integers.
fn nibbles_of(word: u32) -> vec4<f32> {
  let bits = vec4<u32>(word) & vec4<u32>(15u, 240u, 3840u, 61440u);
  return bitcast<vec4<f32>>(bits | vec4<u32>(0x4b000000u));
}

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  // Exact: all are whole numbers below 2^24.
  let base = vec4<f32>(8388608.0) + WEIGHT_UNITS * zero_point;
  let word = select(words.x, words.y, part == 1u);
  return Chunk(nibbles_of(word) - base, nibbles_of(word >> 16u) - base);
}
