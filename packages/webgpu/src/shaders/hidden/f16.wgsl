// Hidden states stored as fp16.

alias HiddenWord = vec4<u32>;
// Of a chunk.
const HIDDEN_WORDS: u32 = 1u;

fn load_hidden(at: u32, c: u32) -> Chunk {
  let word = hidden[at + c];
  return Chunk(
    vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y)),
    vec4<f32>(unpack2x16float(word.z), unpack2x16float(word.w)),
  );
}
