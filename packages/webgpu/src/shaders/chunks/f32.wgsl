// Weights stored as fp32.

alias WeightWord = vec4<u32>;
const QUANT_BITS: u32 = 0u;

struct Words {
  low: vec4<u32>,
  high: vec4<u32>,
}

fn load_words(row: u32, load: u32) -> Words {
  let at = row * shard.row_words + 2u * load;
  return Words(weight[at], weight[at + 1u]);
}

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  return Chunk(bitcast<vec4<f32>>(words.low), bitcast<vec4<f32>>(words.high));
}

const WEIGHT_ONE: Chunk = Chunk(vec4<f32>(1.0), vec4<f32>(1.0));

fn scale_states(states: Chunk) -> Chunk {
  return states;
}
