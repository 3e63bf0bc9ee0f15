// Maximum of scaled logits and sum of exponentials of one block of a row.
// Grid: x blocks, y rows. Behind softmax_mass.wgsl.

@group(0) @binding(2) var<storage, read_write> parts: array<vec2<f32>>; // [rows][num_blocks]: maximum, sum

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let end = min((workgroup.x + 1u) * BLOCK, shape.vocab_size);
  let row_at = workgroup.y * shape.vocab_size;
  var highest = LOWEST;
  for (var i = workgroup.x * BLOCK + local; i < end; i += WORKGROUP) {
    highest = max(highest, logits[row_at + i] * shape.inv_temperature);
  }
  var sum = 0.0;
  for (var i = workgroup.x * BLOCK + local; i < end; i += WORKGROUP) {
    sum += exp(logits[row_at + i] * shape.inv_temperature - highest);
  }
  join_all(vec2<f32>(highest, sum), local);
  if (local == 0u) {
    parts[workgroup.y * shape.num_blocks + workgroup.x] = partial[0];
  }
}
