// Gathers the tokens of every row that do not rank behind a place in rank order: the second pass of rows that need more
// of their ranking than the lists hold.
//
// Grid: as tile_sample.

#include "include/transformed_tile.wgsl"

// [num_tasks] tokens found, then [num_tasks][GATHERED] entries in no order.
@group(0) @binding(6) var<storage, read_write> gathered: array<atomic<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let place = load_tile(workgroup, local);
  for (var i = local; i < ROWS * TILE; i += WORKGROUP) {
    let task = place.first_task + i / TILE;
    let token_id = place.first_token + i % TILE;
    if (task < num_tasks() && logits[i] > DEAD) {
      let task_at = tasks_at() + task * TASK_WORDS;
      if (!is_before(bitcast<f32>(call[task_at + 14u]), call[task_at + 15u], logits[i], token_id)) {
        let at = atomicAdd(&gathered[task], 1u);
        if (at < GATHERED) {
          let entry = num_tasks() + (task * GATHERED + at) * ENTRY_WORDS;
          atomicStore(&gathered[entry], bitcast<u32>(logits[i]));
          atomicStore(&gathered[entry + 1u], token_id);
          atomicStore(&gathered[entry + 2u], bitcast<u32>(raw_logits[i]));
        }
      }
    }
  }
}
