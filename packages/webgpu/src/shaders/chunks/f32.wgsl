// Weights stored as fp32.

alias WeightWord = vec4<u32>;
const QUANT_BITS: u32 = 0u;

struct Words {
  low: vec4<u32>,
  high: vec4<u32>,
}

fn load_words(row: u32, c: u32) -> Words {
  let at = row * shard.row_words + 2u * c;
  return Words(weight[at], weight[at + 1u]);
}

fn widen(words: Words, zero_point: f32) -> Chunk {
  return Chunk(bitcast<vec4<f32>>(words.low), bitcast<vec4<f32>>(words.high));
}
