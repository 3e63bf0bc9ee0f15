// Turns the counts of a row into places: how many keys with a smaller digit, or with this one in an earlier block.
// Grid: x 1, y rows. The prelude gives WORKGROUP, at most 256 and a power of two.

struct Shape {
  vocab_size: u32,
  num_blocks: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>; // [rows][256][num_blocks]

const DIGITS: u32 = 256u / WORKGROUP;

var<workgroup> sums: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  // The counts of a thread's digits lie one behind the other.
  let start = (workgroup.y * 256u + local * DIGITS) * shape.num_blocks;
  let end = start + DIGITS * shape.num_blocks;
  var sum = 0u;
  for (var i = start; i < end; i++) {
    sum += counts[i];
  }
  sums[local] = sum;
  for (var offset = 1u; offset < WORKGROUP; offset *= 2u) {
    // Publishes the sums of the round before.
    workgroupBarrier();
    var before = 0u;
    if (local >= offset) {
      before = sums[local - offset];
    }
    // Nobody overwrites a sum that is still to be read.
    workgroupBarrier();
    sums[local] += before;
  }
  var place = sums[local] - sum;
  for (var i = start; i < end; i++) {
    let count = counts[i];
    counts[i] = place;
    place += count;
  }
}
