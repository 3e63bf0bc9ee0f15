// Takes the raw logits of one tile of the vocabulary for up to ROWS rows, multiplied here or read, transforms them, adds noise and keeps the tile's
// winner of every draw, its log-mass and, for rows with filters, its best tokens by logit. The logits stay on chip.
//
// Grid: x groups of ROWS tasks, y tiles: the groups of one tile run close together, so its weights come from the cache.
// Ports packages/core/src/oracle.ts; CUDA twin: packages/cuda/csrc/kernels.

#include "include/tasks.wgsl"
#include "include/transform.wgsl"
#include "include/tile.wgsl"
#include "include/noise.wgsl"
#include "include/transform_tile.wgsl"
#include "include/sample_tile.wgsl"

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let first_task = workgroup.x * ROWS;
  fill_tile(workgroup.y, first_task, local);
  // Publishes the raw logits.
  workgroupBarrier();
  sample_tile(
    shard.first_tile + workgroup.y,
    first_task,
    shard.vocab_start + workgroup.y * TILE,
    min(TILE, shard.num_tokens - workgroup.y * TILE),
    local,
  );
}
