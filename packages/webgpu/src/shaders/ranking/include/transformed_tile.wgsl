// The transformed logits of a workgroup's tile: what a kernel of further passes begins with.

#include "../../include/tasks.wgsl"
#include "../../include/transform.wgsl"
#include "../../include/tile.wgsl"
#include "../../include/transform_tile.wgsl"

// What a workgroup works on. Grid: as tile_sample.
struct TilePlace {
  first_task: u32,
  // Global id.
  first_token: u32,
}

// Fills and transforms the tile; publishes logits and raw_logits. All threads call it.
fn load_tile(workgroup: vec3<u32>, local: u32) -> TilePlace {
  let first_task = workgroup.x * ROWS;
  let first_token = shard.vocab_start + workgroup.y * TILE;
  fill_tile(workgroup.y, first_task, local);
  // Publishes the raw logits.
  workgroupBarrier();
  transform_tile(first_task, first_token, min(TILE, shard.num_tokens - workgroup.y * TILE), local);
  return TilePlace(first_task, first_token);
}
