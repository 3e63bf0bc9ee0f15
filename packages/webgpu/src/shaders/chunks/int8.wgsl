// Weights stored as unsigned bytes, one scale a block.

alias WeightWord = vec2<u32>;
const QUANT_BITS: u32 = 8u;

fn bytes_of(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

fn load_chunk(row: u32, c: u32) -> Chunk {
  let word = weight[row * shard.row_words + c];
  let zero_point = vec4<f32>(load_zero_point(row, c >> shard.block_shift));
  return Chunk(bytes_of(word.x) - zero_point, bytes_of(word.y) - zero_point);
}
