// Weights stored as fp16, widened without the feature shader-f16.

#include "../include/dense.wgsl"

alias Words = vec4<u32>;

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  return Chunk(
    vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4<f32>(unpack2x16float(words.z), unpack2x16float(words.w)),
  );
}
