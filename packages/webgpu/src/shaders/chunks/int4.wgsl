// Weights stored as nibbles, the lower first, one scale a block.

alias WeightWord = u32;
const QUANT_BITS: u32 = 4u;

alias Words = u32;

fn load_words(row: u32, c: u32) -> Words {
  return weight[row * shard.row_words + c];
}

// The bits of 2^23 plus a nibble are those of 2^23 with the nibble below: no conversion from integers.
fn nibbles_of(word: u32) -> vec4<f32> {
  let bits = (vec4<u32>(word) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
  return bitcast<vec4<f32>>(bits | vec4<u32>(0x4b000000u));
}

fn widen(words: Words, zero_point: f32) -> Chunk {
  // Exact: both are whole numbers below 2^24.
  let base = vec4<f32>(8388608.0 + zero_point);
  return Chunk(nibbles_of(words) - base, nibbles_of(words >> 16u) - base);
}
