// Weights stored as fp16, widened without the feature shader-f16.

alias Words = vec4<u32>;
const QUANT_BITS: u32 = 0u;
const WEIGHT_UNITS: vec4<f32> = vec4<f32>(1.0);

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  return Chunk(
    vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4<f32>(unpack2x16float(words.z), unpack2x16float(words.w)),
  );
}
