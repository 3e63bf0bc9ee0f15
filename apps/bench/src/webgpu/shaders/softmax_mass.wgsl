// What the two steps of a softmax share: the shape, masses of parts of a row, and their sum over a workgroup.
// The prelude gives WORKGROUP and BLOCK.

struct Shape {
  vocab_size: u32,
  num_blocks: u32,
  inv_temperature: f32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> logits: array<f32>; // [rows][vocab_size]

// Maximum, and sum of exponentials relative to it.
var<workgroup> partial: array<vec2<f32>, WORKGROUP>;

const LOWEST: f32 = -3.40282346638528859812e+38;

fn join(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  let highest = max(a.x, b.x);
  return vec2<f32>(highest, a.y * exp(a.x - highest) + b.y * exp(b.x - highest));
}

// Joins the masses of all threads in partial[0]. All threads call it.
fn join_all(mass: vec2<f32>, local: u32) {
  partial[local] = mass;
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    // Publishes the parts of the round before.
    workgroupBarrier();
    if (local < half) {
      partial[local] = join(partial[local], partial[local + half]);
    }
  }
}
