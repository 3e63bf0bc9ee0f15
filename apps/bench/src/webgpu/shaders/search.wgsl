// Finds the first token, most likely first, whose cumulative probability exceeds a uniform number.
// Grid: x 1, y rows. The prelude gives WORKGROUP, BLOCK (WORKGROUP times RUN) and RUN.

struct Shape {
  vocab_size: u32,
  num_blocks: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> entries: array<vec2<u32>>; // [rows][vocab_size]: key, token
@group(0) @binding(2) var<storage, read> sums: array<f32>; // [rows][num_blocks]
@group(0) @binding(3) var<storage, read> uniforms: array<f32>; // [rows], 0 <= u < 1
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>; // [rows]

var<workgroup> block_sums: array<f32, MAX_BLOCKS>;
var<workgroup> partial: array<f32, WORKGROUP>;
var<workgroup> found_block: u32;
var<workgroup> rest: f32;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row = workgroup.y;
  for (var i = local; i < shape.num_blocks; i += WORKGROUP) {
    block_sums[i] = sums[row * shape.num_blocks + i];
  }
  // Publishes the sums of the blocks.
  workgroupBarrier();
  if (local == 0u) {
    var total = 0.0;
    for (var i = 0u; i < shape.num_blocks; i++) {
      total += block_sums[i];
    }
    var target_mass = uniforms[row] * total;
    var block = 0u;
    while (block + 1u < shape.num_blocks && target_mass >= block_sums[block]) {
      target_mass -= block_sums[block];
      block++;
    }
    found_block = block;
    rest = target_mass;
  }
  // Publishes the block and what is left of the mass in it.
  workgroupBarrier();
  let first = found_block * BLOCK + local * RUN;
  let row_at = row * shape.vocab_size;
  var own = 0.0;
  for (var i = first; i < min(first + RUN, shape.vocab_size); i++) {
    own += bitcast<f32>(~entries[row_at + i].x);
  }
  partial[local] = own;
  for (var offset = 1u; offset < WORKGROUP; offset *= 2u) {
    // Publishes the sums of the round before.
    workgroupBarrier();
    var before = 0.0;
    if (local >= offset) {
      before = partial[local - offset];
    }
    // Nobody overwrites a sum that is still to be read.
    workgroupBarrier();
    partial[local] += before;
  }
  // Publishes the sums up to each thread's run.
  workgroupBarrier();
  var mass = 0.0;
  if (local > 0u) {
    mass = partial[local - 1u];
  }
  // Rounding may leave the mass past the end: the last thread with tokens then takes its last one.
  let last_run = (min((found_block + 1u) * BLOCK, shape.vocab_size) - found_block * BLOCK - 1u) / RUN;
  let is_mine = (mass <= rest || local == 0u) && (rest < partial[local] || local == last_run);
  if (is_mine && local <= last_run) {
    var i = first;
    while (i + 1u < min(first + RUN, shape.vocab_size)) {
      mass += bitcast<f32>(~entries[row_at + i].x);
      if (mass > rest) {
        break;
      }
      i++;
    }
    tokens[row] = entries[row_at + i].y;
  }
}
