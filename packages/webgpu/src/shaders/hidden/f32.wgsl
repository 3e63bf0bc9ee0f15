// Hidden states stored as fp32.

alias HiddenWord = vec4<f32>;
// Of a chunk.
const HIDDEN_WORDS: u32 = 2u;

fn load_hidden(at: u32, c: u32) -> Chunk {
  return Chunk(hidden[at + 2u * c], hidden[at + 2u * c + 1u]);
}
