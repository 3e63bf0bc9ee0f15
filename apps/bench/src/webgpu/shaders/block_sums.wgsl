// Sums the sorted probabilities of a block of a row.
// Grid: x blocks, y rows. The prelude gives WORKGROUP and BLOCK.

struct Shape {
  vocab_size: u32,
  num_blocks: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> entries: array<vec2<u32>>; // [rows][vocab_size]: key, token
@group(0) @binding(2) var<storage, read_write> sums: array<f32>; // [rows][num_blocks]

var<workgroup> partial: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let end = min((workgroup.x + 1u) * BLOCK, shape.vocab_size);
  var sum = 0.0;
  for (var i = workgroup.x * BLOCK + local; i < end; i += WORKGROUP) {
    sum += bitcast<f32>(~entries[workgroup.y * shape.vocab_size + i].x);
  }
  partial[local] = sum;
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    // Publishes the sums of the round before.
    workgroupBarrier();
    if (local < half) {
      partial[local] += partial[local + half];
    }
  }
  if (local == 0u) {
    sums[workgroup.y * shape.num_blocks + workgroup.x] = partial[0];
  }
}
