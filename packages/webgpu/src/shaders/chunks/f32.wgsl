// Weights stored as fp32.

struct Words {
  low: vec4<u32>,
  high: vec4<u32>,
}
const QUANT_BITS: u32 = 0u;
const WEIGHT_UNITS: vec4<f32> = vec4<f32>(1.0);

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  return Chunk(bitcast<vec4<f32>>(words.low), bitcast<vec4<f32>>(words.high));
}
