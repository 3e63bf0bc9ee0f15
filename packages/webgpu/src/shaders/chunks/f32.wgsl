// Weights stored as fp32.

alias WeightWord = vec4<u32>;
const QUANT_BITS: u32 = 0u;

fn load_chunk(row: u32, c: u32) -> Chunk {
  let at = row * shard.row_words + 2u * c;
  return Chunk(bitcast<vec4<f32>>(weight[at]), bitcast<vec4<f32>>(weight[at + 1u]));
}
