// Weights stored as nibbles, the lower first, one scale a block.

alias WeightWord = u32;
const QUANT_BITS: u32 = 4u;

fn nibbles_of(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
}

fn load_chunk(row: u32, c: u32) -> Chunk {
  let word = weight[row * shard.row_words + c];
  let zero_point = vec4<f32>(load_zero_point(row, c >> shard.block_shift));
  return Chunk(nibbles_of(word) - zero_point, nibbles_of(word >> 16u) - zero_point);
}
