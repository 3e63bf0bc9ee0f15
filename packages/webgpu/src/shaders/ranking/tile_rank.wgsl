// Counts, for every row, the tokens and their mass between places in rank order: the second pass of rows whose filters
// the lists did not decide. Ports countIntervals() of packages/core/src/cpu/typescript/epilogue.ts.
//
// Masses add as integers, so that their order does not matter. Grid: as tile_sample.

#include "include/transformed_tile.wgsl"

// Number of tokens, then e^(logit - reference) in fixed point: 9 bits before and 30 bits behind the lowest of the first
// word, so that 2^22 tokens do not overflow a word.
const INTERVAL_WORDS: u32 = 5u;
const MAX_PIVOTS: u32 = 255u;

// [num_tasks][MAX_PIVOTS][INTERVAL_WORDS]: interval i holds what ranks behind pivot i - 1 and not behind pivot i.
@group(0) @binding(6) var<storage, read_write> counts: array<atomic<u32>>;

var<workgroup> sums: array<atomic<u32>, MAX_PIVOTS * INTERVAL_WORDS>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let place = load_tile(workgroup, local);
  let num_rows = min(ROWS, num_tasks() - place.first_task);
  for (var r = 0u; r < num_rows; r++) {
    let task_at = tasks_at() + (place.first_task + r) * TASK_WORDS;
    let reference = bitcast<f32>(call[task_at + 14u]);
    let pivots_at = call[task_at + 16u];
    let num_pivots = call[task_at + 17u];
    for (var i = local; i < num_pivots * INTERVAL_WORDS; i += WORKGROUP) {
      atomicStore(&sums[i], 0u);
    }
    // Publishes the cleared sums.
    workgroupBarrier();
    for (var t = local; t < TILE; t += WORKGROUP) {
      let logit = logits[r * TILE + t];
      if (logit > DEAD) {
        // The first pivot that the token does not rank behind.
        var low = 0u;
        var high = num_pivots;
        while (low < high) {
          let middle = (low + high) >> 1u;
          let pivot = pivots_at + middle * PIVOT_WORDS;
          if (is_before(bitcast<f32>(call[pivot]), call[pivot + 1u], logit, place.first_token + t)) {
            low = middle + 1u;
          } else {
            high = middle;
          }
        }
        if (low < num_pivots) {
          var rest = exp(min(0.0, logit - reference)) * 512.0;
          let at = low * INTERVAL_WORDS;
          atomicAdd(&sums[at], 1u);
          for (var word = 1u; word < INTERVAL_WORDS; word++) {
            let whole = floor(rest);
            atomicAdd(&sums[at + word], u32(whole));
            rest = (rest - whole) * 1024.0;
          }
        }
      }
    }
    // Publishes the tile's sums.
    workgroupBarrier();
    for (var i = local; i < num_pivots * INTERVAL_WORDS; i += WORKGROUP) {
      let sum = atomicLoad(&sums[i]);
      if (sum != 0u) {
        atomicAdd(&counts[(place.first_task + r) * MAX_PIVOTS * INTERVAL_WORDS + i], sum);
      }
    }
    // The sums have been read.
    workgroupBarrier();
  }
}
