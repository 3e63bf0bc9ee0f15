// Probabilities of a row as sort keys: the bits of a float >= 0 rise with its value, and their complement falls.
// Grid: x blocks, y rows. Behind softmax_mass.wgsl.

@group(0) @binding(2) var<storage, read> parts: array<vec2<f32>>; // [rows][num_blocks]: maximum, sum
@group(0) @binding(3) var<storage, read_write> entries: array<vec2<u32>>; // [rows][vocab_size]: key, token

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  var mass = vec2<f32>(LOWEST, 0.0);
  for (var i = local; i < shape.num_blocks; i += WORKGROUP) {
    mass = join(mass, parts[workgroup.y * shape.num_blocks + i]);
  }
  join_all(mass, local);
  // Publishes the row's maximum and sum.
  workgroupBarrier();
  mass = partial[0];
  let end = min((workgroup.x + 1u) * BLOCK, shape.vocab_size);
  let row_at = workgroup.y * shape.vocab_size;
  for (var i = workgroup.x * BLOCK + local; i < end; i += WORKGROUP) {
    let probability = exp(logits[row_at + i] * shape.inv_temperature - mass.x) / mass.y;
    entries[row_at + i] = vec2<u32>(~bitcast<u32>(probability), i);
  }
}
