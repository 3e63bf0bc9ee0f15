// Weights stored as bfloat16.

alias Words = vec4<u32>;
const QUANT_BITS: u32 = 0u;
const WEIGHT_UNITS: vec4<f32> = vec4<f32>(1.0);

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  let even = bitcast<vec4<f32>>(words << vec4<u32>(16u));
  let odd = bitcast<vec4<f32>>(words & vec4<u32>(0xffff0000u));
  return Chunk(vec4<f32>(even.x, odd.x, even.y, odd.y), vec4<f32>(even.z, odd.z, even.w, odd.w));
}
