// What every kernel over tiles has: the piece of the vocabulary, and the raw logits of a tile. A file of source/ fills
// them, by a product or from memory.

// One piece of the vocabulary.
struct Shard {
  // Global id of the first token.
  vocab_start: u32,
  num_tokens: u32,
  // Chunks of eight elements in a row.
  num_chunks: u32,
  // In loads of the product.
  row_words: u32,
  // log2 of the chunks in a block, and blocks in a row.
  block_shift: u32,
  num_blocks: u32,
  // Bytes of packed zero points in a row.
  zero_point_bytes: u32,
  // Index of the first tile among those of all pieces.
  first_tile: u32,
}

@group(0) @binding(1) var<uniform> shard: Shard;

// [ROWS][TILE]
var<workgroup> raw_logits: array<f32, ROWS * TILE>;
