// Weights stored as fp16, widened without the feature shader-f16.

alias WeightWord = vec4<u32>;
const QUANT_BITS: u32 = 0u;

alias Words = vec4<u32>;

fn load_words(row: u32, c: u32) -> Words {
  return weight[row * shard.row_words + c];
}

fn widen(words: Words, zero_point: f32) -> Chunk {
  return Chunk(
    vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4<f32>(unpack2x16float(words.z), unpack2x16float(words.w)),
  );
}
