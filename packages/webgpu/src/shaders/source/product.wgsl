// Products of hidden states and weights. A dot product is summed by LANES threads, each over loads of SPAN chunks of eight
// elements that lie LANES loads apart, then across the threads in the order of a butterfly: an order that depends on hiddenSize
// and the adapter alone, so a row's logits are the same bits in every batch and tile.
//
// A file of chunks/ or quantised/ gives Words (the bits of a load), widen(), and how scales and offsets of its blocks come
// into a product; one of hidden/ gives HiddenWord and load_hidden(). The prelude gives LANES, TOKENS, UNROLL, SPAN, ROWS,
// TILE, WORKGROUP, SUBGROUP, NUM_CHUNKS, SCALE_F32, OFFSET_FORMAT, ZERO_POINT and those of planSums() in src/kernels.ts.
//
// src/kernel.ts repeats the lines between #for and #end, and computes what stands in $(). So sums and weights are plain
// variables: drivers do not always take loops over arrays apart, and then keep the arrays in memory.

@group(0) @binding(2) var<storage, read> hidden: array<HiddenWord>;
@group(0) @binding(3) var<storage, read> weight: array<Words>;

// Eight consecutive elements.
struct Chunk {
  low: vec4<f32>,
  high: vec4<f32>,
}

var<workgroup> exchange: array<f32, WORKGROUP>;

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

// One step of a sum across threads for two sums at once: a thread keeps one, adds the other thread's part of it, and
// gives away its part of the other sum.
fn add_kept(lower: f32, upper: f32, keeps_upper: bool, offset: u32) -> f32 {
  return select(lower, upper, keeps_upper) + shuffle_xor(select(upper, lower, keeps_upper), offset);
}

// A sum by its number: row * TOKENS + token.
fn store_sum(number: u32, first: u32, sum: f32) {
  let token = first + number % TOKENS;
  if (token < TILE) {
    raw_logits[number / TOKENS * TILE + token] = sum;
  }
}

// A load brings SPAN chunks, all of one block.
const NUM_LOADS: u32 = (NUM_CHUNKS + SPAN - 1u) / SPAN;

// Whether every thread has as many chunks as the others, each time round.
const IS_EVEN: bool = NUM_CHUNKS % (LANES * UNROLL * SPAN) == 0u;

// A load within the row: without a bound where none is needed, so that addresses grow evenly.
fn bounded_load(load: u32) -> u32 {
  if (IS_EVEN) {
    return load;
  }
  return min(load, NUM_LOADS - 1u);
}

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
    var sum_$($r*TOKENS+$t) = 0.0;
    #end
    #end
    for (var first_load = lane; first_load < NUM_LOADS; first_load += LANES * UNROLL) {
      // All loads of weights before their use, so that many are under way.
      #for u UNROLL
      let load_$u = bounded_load(first_load + $uu * LANES);
      #for t TOKENS
      let words_$t_$u = weight[row_$t * shard.row_words + load_$u];
      let scale_$t_$u = load_scale(row_$t, load_$u);
      #end
      #end
      #for u UNROLL
      #for s SPAN
      let c_$u_$s = load_$u * SPAN + $su;
      if (IS_EVEN || (first_load + $uu * LANES) * SPAN + $su < NUM_CHUNKS) {
        // States of all rows before the weights of a token: with these first, eight rows took half as long again.
        #for r ROWS
        let states_$r = scale_states(load_hidden(states_at_$r, c_$u_$s));
        let total_$r = sum_states(states_$r);
        #end
        #for t TOKENS
        let weights_$t = widen(words_$t_$u, $su, load_zero_point(row_$t, load_$u));
        let offset_$t = load_offset(row_$t, load_$u);
        #for r ROWS
        sum_$($r*TOKENS+$t) = accumulate(weights_$t, states_$r, scale_$t_$u, total_$r, offset_$t, sum_$($r*TOKENS+$t));
        #end
        #end
      }
      #end
      #end
    }
    // Each step halves the sums of a thread, as long as it has several; the order of additions is that of sum_lanes().
    #for k NUM_STEPS
    #for i KEPT_$k
    sum_$i = add_kept(sum_$i, sum_$($i+GIVEN_$k), (lane & $(STEP_$k)u) != 0u, $(STEP_$k)u);
    #end
    #end
    if (lane % SHARERS == 0u) {
      var number = 0u;
      #for k NUM_STEPS
      number += select(0u, $(GIVEN_$k)u, (lane & $(STEP_$k)u) != 0u);
      #end
      #for i NUM_KEPT
      store_sum(number + $iu, first, sum_$i);
      #end
    }
    #for l NUM_LOOPS
    // One copy of what follows, as software adapters take long to compile barriers.
    var sums: array<f32, TOKENS * ROWS>;
    #for i NUM_SUMS
    sums[$i] = sum_$i;
    #end
    for (var i = 0u; i < NUM_SUMS; i++) {
      let sum = sum_lanes(sums[i], local);
      if (lane == i % LANES) {
        store_sum(i, first, sum);
      }
    }
    #end
  }
}
