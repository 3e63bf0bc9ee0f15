// Products of hidden states and weights. A dot product is summed by LANES threads, each over chunks of eight elements
// that lie LANES chunks apart, then across the threads in the order of a butterfly: an order that depends on hiddenSize
// and the adapter alone, so a row's logits are the same bits in every batch and tile.
//
// A file of chunks/ gives WeightWord, Words (the bits of a chunk), load_words(), widen() and QUANT_BITS; one of hidden/
// gives HiddenWord and load_hidden(). The prelude gives LANES, TOKENS, UNROLL, ROWS, TILE, WORKGROUP, SUBGROUP,
// SCALE_F32, OFFSET_FORMAT and ZERO_POINT.

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

fn load_scale(block: u32) -> f32 {
  if (SCALE_F32) {
    return bitcast<f32>(scales[block]);
  }
  return half_at(scales[block >> 1u], block);
}

// What is subtracted from the quants of a block, before they are scaled.
fn load_zero_point(row: u32, block_in_row: u32) -> f32 {
  if (OFFSET_FORMAT == OFFSET_PACKED) {
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

fn load_offset(block: u32) -> f32 {
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

// Fills raw_logits with the products of the tile's tokens and the tasks' hidden states. Tokens past the end of the
// piece repeat its last one. The caller's next barrier publishes them.
fn fill_tile(tile: u32, first_task: u32, local: u32) {
  let lane = local % LANES;
  let group = local / LANES;
  var states_at: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    let task = min(first_task + r, num_tasks() - 1u);
    states_at[r] = call[tasks_at() + task * TASK_WORDS];
  }
  for (var start = 0u; start < TILE; start += WORKGROUP / LANES * TOKENS) {
    let first = start + group * TOKENS;
    var row: array<u32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) {
      row[t] = min(tile * TILE + first + t, shard.num_tokens - 1u);
    }
    var sums: array<f32, TOKENS * ROWS>;
    // NOTE: the language says that a variable starts at zero each time round the loop, but Dawn's SPIR-V keeps what it
    // held: docs/findings/wgsl-loop-variables.md.
    for (var i = 0u; i < TOKENS * ROWS; i++) {
      sums[i] = 0.0;
    }
    for (var first_chunk = lane; first_chunk < shard.num_chunks; first_chunk += LANES * UNROLL) {
      // All loads of weights before their use, so that many are under way.
      var words: array<Words, TOKENS * UNROLL>;
      var factors: array<f32, TOKENS * UNROLL>;
      for (var u = 0u; u < UNROLL; u++) {
        let c = min(first_chunk + u * LANES, shard.num_chunks - 1u);
        for (var t = 0u; t < TOKENS; t++) {
          words[u * TOKENS + t] = load_words(row[t], c);
          if (QUANT_BITS != 0u) {
            factors[u * TOKENS + t] = load_scale(row[t] * shard.num_blocks + (c >> shard.block_shift));
          }
        }
      }
      for (var u = 0u; u < UNROLL; u++) {
        let c = first_chunk + u * LANES;
        if (c < shard.num_chunks) {
          var weights: array<Chunk, TOKENS>;
          for (var t = 0u; t < TOKENS; t++) {
            var zero_point = 0.0;
            if (QUANT_BITS != 0u) {
              zero_point = load_zero_point(row[t], c >> shard.block_shift);
            }
            weights[t] = widen(words[u * TOKENS + t], zero_point);
          }
          for (var r = 0u; r < ROWS; r++) {
            let states = load_hidden(states_at[r], c);
            for (var t = 0u; t < TOKENS; t++) {
              let at = t * ROWS + r;
              if (QUANT_BITS != 0u) {
                var sum = fma(multiply_add(weights[t], states, 0.0), factors[u * TOKENS + t], sums[at]);
                if (OFFSET_FORMAT == OFFSET_FLOAT) {
                  let offset = load_offset(row[t] * shard.num_blocks + (c >> shard.block_shift));
                  sum = fma(multiply_add(Chunk(vec4<f32>(1.0), vec4<f32>(1.0)), states, 0.0), offset, sum);
                }
                sums[at] = sum;
              } else {
                sums[at] = multiply_add(weights[t], states, sums[at]);
              }
            }
          }
        }
      }
    }
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
