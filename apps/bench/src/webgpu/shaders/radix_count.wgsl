// Counts the values of one digit of eight bits in a block of keys.
// Grid: x blocks, y rows. The prelude gives WORKGROUP, BLOCK and SHIFT.

struct Shape {
  vocab_size: u32,
  num_blocks: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> entries: array<vec2<u32>>; // [rows][vocab_size]: key, token
@group(0) @binding(2) var<storage, read_write> counts: array<u32>; // [rows][256][num_blocks]

var<workgroup> histogram: array<atomic<u32>, 256>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let end = min((workgroup.x + 1u) * BLOCK, shape.vocab_size);
  let row_at = workgroup.y * shape.vocab_size;
  for (var i = workgroup.x * BLOCK + local; i < end; i += WORKGROUP) {
    atomicAdd(&histogram[(entries[row_at + i].x >> SHIFT) & 255u], 1u);
  }
  // Publishes the counts.
  workgroupBarrier();
  for (var digit = local; digit < 256u; digit += WORKGROUP) {
    counts[(workgroup.y * 256u + digit) * shape.num_blocks + workgroup.x] = atomicLoad(&histogram[digit]);
  }
}
