// Weights stored as unsigned bytes, one scale a block.

alias WeightWord = vec2<u32>;
const QUANT_BITS: u32 = 8u;

alias Words = vec2<u32>;

fn load_words(row: u32, c: u32) -> Words {
  return weight[row * shard.row_words + c];
}

fn bytes_of(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

fn widen(words: Words, zero_point: f32) -> Chunk {
  return Chunk(bytes_of(words.x) - zero_point, bytes_of(words.y) - zero_point);
}
