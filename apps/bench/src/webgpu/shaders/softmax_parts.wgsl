// Maximum of scaled logits and sum of exponentials of one block of a row.
// Grid: x blocks, y rows. The prelude gives WORKGROUP and BLOCK.

struct Shape {
  vocab_size: u32,
  num_blocks: u32,
  inv_temperature: f32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> logits: array<f32>; // [rows][vocab_size]
@group(0) @binding(2) var<storage, read_write> parts: array<vec2<f32>>; // [rows][num_blocks]: maximum, sum

var<workgroup> partial: array<vec2<f32>, WORKGROUP>;

const LOWEST: f32 = -3.40282346638528859812e+38;

fn join(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let highest = max(a.x, b.x);
  return vec2<f32>(highest, a.y * exp(a.x - highest) + b.y * exp(b.x - highest));
}

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
  partial[local] = vec2<f32>(highest, sum);
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    // Publishes the parts of the round before.
    workgroupBarrier();
    if (local < half) {
      partial[local] = join(partial[local], partial[local + half]);
    }
  }
  if (local == 0u) {
    parts[workgroup.y * shape.num_blocks + workgroup.x] = partial[0];
  }
}
