// Weights stored as fp16, widened without the feature shader-f16.

alias WeightWord = vec4<u32>;
const QUANT_BITS: u32 = 0u;

fn load_chunk(row: u32, c: u32) -> Chunk {
  let word = weight[row * shard.row_words + c];
  return Chunk(
    vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y)),
    vec4<f32>(unpack2x16float(word.z), unpack2x16float(word.w)),
  );
}
