// Scales and offsets of weights that are stored as quants in blocks, and how they come into a product. Each storage gives
// QUANT_BITS, and WEIGHT_UNITS: what 1 is widened to at each place of half a chunk. The prelude gives SPAN, SCALE_F32,
// OFFSET_FORMAT and ZERO_POINT.

// What is subtracted from a quant: a constant, packed zero points, or an offset in units of the weight.
const OFFSET_CONSTANT: u32 = 0u;
const OFFSET_PACKED: u32 = 1u;
const OFFSET_FLOAT: u32 = 2u;

@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> zero_points: array<u32>;

fn half_at(words: u32, index: u32) -> f32 {
  let pair = unpack2x16float(words);
  return select(pair.x, pair.y, (index & 1u) == 1u);
}

fn block_of(load: u32) -> u32 {
  return (load * SPAN) >> shard.block_shift;
}

// Scale of a load's block.
fn load_scale(row: u32, load: u32) -> f32 {
  let block = row * shard.num_blocks + block_of(load);
  if (SCALE_F32) {
    return bitcast<f32>(scales[block]);
  }
  return half_at(scales[block >> 1u], block);
}

// What is subtracted from the quants of a load, before they are scaled.
fn load_zero_point(row: u32, load: u32) -> f32 {
  if (OFFSET_FORMAT == OFFSET_PACKED) {
    let block_in_row = block_of(load);
    if (QUANT_BITS == 4u) {
      let byte = row * shard.zero_point_bytes + (block_in_row >> 1u);
      let bits = zero_points[byte >> 2u] >> ((byte & 3u) * 8u);
      return f32((bits >> ((block_in_row & 1u) * 4u)) & 15u);
    }
    let byte = row * shard.zero_point_bytes + block_in_row;
    return f32((zero_points[byte >> 2u] >> ((byte & 3u) * 8u)) & 255u);
  }
  return ZERO_POINT;
}

// What is added to the scaled quants of a load, in units of the weight.
fn load_offset(row: u32, load: u32) -> f32 {
  if (OFFSET_FORMAT != OFFSET_FLOAT) {
    return 0.0;
  }
  let block = row * shard.num_blocks + block_of(load);
  if (SCALE_F32) {
    return bitcast<f32>(zero_points[block]);
  }
  return half_at(zero_points[block >> 1u], block);
}

// States for widened weights: divided by their units, for all tokens at once. Units are powers of two: nothing is rounded.
fn scale_states(states: Chunk) -> Chunk {
  let scales = 1.0 / WEIGHT_UNITS;
  return Chunk(states.low * scales, states.high * scales);
}

// Sum of a chunk's states, for offsets; those of scale_states().
fn sum_states(states: Chunk) -> f32 {
  if (OFFSET_FORMAT != OFFSET_FLOAT) {
    return 0.0;
  }
  return multiply_add(Chunk(WEIGHT_UNITS, WEIGHT_UNITS), states, 0.0);
}

// Adds the product of a chunk to a sum; the states are those of scale_states().
fn accumulate(weights: Chunk, states: Chunk, scale: f32, total: f32, offset: f32, start: f32) -> f32 {
  let sum = fma(multiply_add(weights, states, 0.0), scale, start);
  if (OFFSET_FORMAT != OFFSET_FLOAT) {
    return sum;
  }
  return fma(total, offset, sum);
}
