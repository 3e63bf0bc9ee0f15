// Products of hidden states and weights. A dot product is summed by LANES threads, each over chunks of eight elements
// that lie LANES chunks apart, then across the threads in the order of a butterfly: an order that depends on hiddenSize
// and the adapter alone, so a row's logits are the same bits in every batch and tile.
//
// A file of chunks/ gives WeightWord, Words (the bits of a chunk), load_words(), widen() and QUANT_BITS; one of hidden/
// gives HiddenWord and load_hidden(). The prelude gives LANES, TOKENS, UNROLL, ROWS, TILE, WORKGROUP,
// SUBGROUP, NUM_CHUNKS, SCALE_F32, OFFSET_FORMAT and ZERO_POINT.
//
// src/kernel.ts repeats the lines between #for and #end. So sums and weights are plain variables: drivers do not always
// take loops over arrays apart, and then keep the arrays in memory.

// What is subtracted from a quant: a constant, packed zero points, or an offset in units of the weight.
const OFFSET_CONSTANT: u32 = 0u;
const OFFSET_PACKED: u32 = 1u;
const OFFSET_FLOAT: u32 = 2u;

@group(0) @binding(2) var<storage, read> hidden: array<HiddenWord>;
@group(0) @binding(3) var<storage, read> weight: array<WeightWord>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> zero_points: array<u32>;

// Eight consecutive elements.
struct Chunk {
  low: vec4<f32>,
  high: vec4<f32>,
}

var<workgroup> exchange: array<f32, WORKGROUP>;

fn half_at(words: u32, index: u32) -> f32 {
  let pair = unpack2x16float(words);
  return select(pair.x, pair.y, (index & 1u) == 1u);
}

// Scale of a chunk's block; 1 where weights have none.
fn load_scale(row: u32, c: u32) -> f32 {
  if (QUANT_BITS == 0u) {
    return 1.0;
  }
  let block = row * shard.num_blocks + (c >> shard.block_shift);
  if (SCALE_F32) {
    return bitcast<f32>(scales[block]);
  }
  return half_at(scales[block >> 1u], block);
}

// What is subtracted from the quants of a chunk, before they are scaled.
fn load_zero_point(row: u32, c: u32) -> f32 {
  if (OFFSET_FORMAT == OFFSET_PACKED) {
    let block_in_row = c >> shard.block_shift;
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

fn load_offset(row: u32, c: u32) -> f32 {
  let block = row * shard.num_blocks + (c >> shard.block_shift);
  if (SCALE_F32) {
    return bitcast<f32>(zero_points[block]);
  }
  return half_at(zero_points[block >> 1u], block);
}

fn multiply_add(weights: Chunk, states: Chunk, start: f32) -> f32 {
  var sum = fma(weights.low.x, states.low.x, start);
  sum = fma(weights.low.y, states.low.y, sum);
  sum = fma(weights.low.z, states.low.z, sum);
  sum = fma(weights.low.w, states.low.w, sum);
  sum = fma(weights.high.x, states.high.x, sum);
  sum = fma(weights.high.y, states.high.y, sum);
  sum = fma(weights.high.z, states.high.z, sum);
  return fma(weights.high.w, states.high.w, sum);
}

// Adds the product of a chunk to a sum.
fn accumulate(weights: Chunk, states: Chunk, scale: f32, row: u32, c: u32, start: f32) -> f32 {
  if (QUANT_BITS == 0u) {
    return multiply_add(weights, states, start);
  }
  let sum = fma(multiply_add(weights, states, 0.0), scale, start);
  if (OFFSET_FORMAT != OFFSET_FLOAT) {
    return sum;
  }
  let ones = Chunk(vec4<f32>(1.0), vec4<f32>(1.0));
  return fma(multiply_add(ones, states, 0.0), load_offset(row, c), sum);
}

// Sum over the LANES threads of a dot product; every one of them gets it.
fn sum_lanes(value: f32, local: u32) -> f32 {
  var sum = value;
  for (var offset = LANES / 2u; offset > 0u; offset = offset / 2u) {
    if (offset < SUBGROUP) {
      sum += shuffle_xor(sum, offset);
    } else {
      exchange[local] = sum;
      // Publishes every thread's sum; all threads of the workgroup come here.
      workgroupBarrier();
      sum += exchange[local ^ offset];
      // Nobody overwrites a sum that is still to be read.
      workgroupBarrier();
    }
  }
  return sum;
}

// Whether every thread has as many chunks as the others, each time round.
const IS_EVEN: bool = NUM_CHUNKS % (LANES * UNROLL) == 0u;

// Fills raw_logits with the products of the tile's tokens and the tasks' hidden states. Tokens past the end of the
// piece repeat its last one. The caller's next barrier publishes them.
fn fill_tile(tile: u32, first_task: u32, local: u32) {
  let lane = local % LANES;
  let group = local / LANES;
  #for r ROWS
  let states_at_$r = call[tasks_at() + min(first_task + $ru, num_tasks() - 1u) * TASK_WORDS];
  #end
  for (var start = 0u; start < TILE; start += WORKGROUP / LANES * TOKENS) {
    let first = start + group * TOKENS;
    #for t TOKENS
    let row_$t = min(tile * TILE + first + $tu, shard.num_tokens - 1u);
    #for r ROWS
    // NOTE: without an initialiser Dawn keeps the sum of the last time round: docs/findings/wgsl-loop-variables.md.
    var sum_$t_$r = 0.0;
    #end
    #end
    for (var first_chunk = lane; first_chunk < NUM_CHUNKS; first_chunk += LANES * UNROLL) {
      // All loads of weights before their use, so that many are under way.
      #for u UNROLL
      let c_$u = min(first_chunk + $uu * LANES, NUM_CHUNKS - 1u);
      #for t TOKENS
      let words_$t_$u = load_words(row_$t, c_$u);
      let scale_$t_$u = load_scale(row_$t, c_$u);
      #end
      #end
      #for u UNROLL
      if (IS_EVEN || first_chunk + $uu * LANES < NUM_CHUNKS) {
        #for t TOKENS
        let weights_$t = widen(words_$t_$u, load_zero_point(row_$t, c_$u));
        #end
        #for r ROWS
        let states_$r = load_hidden(states_at_$r, c_$u);
        #for t TOKENS
        sum_$t_$r = accumulate(weights_$t, states_$r, scale_$t_$u, row_$t, c_$u, sum_$t_$r);
        #end
        #end
      }
      #end
    }
    // One copy of what follows, as software adapters take long to compile barriers.
    var sums: array<f32, TOKENS * ROWS>;
    #for t TOKENS
    #for r ROWS
    sums[$tu * ROWS + $ru] = sum_$t_$r;
    #end
    #end
    for (var r = 0u; r < ROWS; r++) {
      for (var t = 0u; t < TOKENS; t++) {
        let logit = sum_lanes(sums[t * ROWS + r], local);
        if (lane == t % LANES && first + t < TILE) {
          raw_logits[r * TILE + first + t] = logit;
        }
      }
    }
  }
}
