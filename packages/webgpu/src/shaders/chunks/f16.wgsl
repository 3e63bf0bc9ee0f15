// Weights stored as fp16, widened without the feature shader-f16.

alias WeightWord = vec4<u32>;
const QUANT_BITS: u32 = 0u;

alias Words = vec4<u32>;

fn load_words(row: u32, load: u32) -> Words {
  return weight[row * shard.row_words + load];
}

fn widen(words: Words, part: u32, zero_point: f32) -> Chunk {
  return Chunk(
    vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4<f32>(unpack2x16float(words.z), unpack2x16float(words.w)),
  );
}

const WEIGHT_ONE: Chunk = Chunk(vec4<f32>(1.0), vec4<f32>(1.0));

fn scale_states(states: Chunk) -> Chunk {
  return states;
}
