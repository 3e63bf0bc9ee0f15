// Weights stored as bfloat16.

alias WeightWord = vec4<u32>;
const QUANT_BITS: u32 = 0u;

fn load_chunk(row: u32, c: u32) -> Chunk {
  let word = weight[row * shard.row_words + c];
  let even = bitcast<vec4<f32>>(word << vec4<u32>(16u));
  let odd = bitcast<vec4<f32>>(word & vec4<u32>(0xffff0000u));
  return Chunk(vec4<f32>(even.x, odd.x, even.y, odd.y), vec4<f32>(even.z, odd.z, even.w, odd.w));
}
