// Moves the keys of a block to their places by one digit of eight bits; keys with equal digits keep their order.
//
// A round takes one key a thread. Its rank among the equal digits of the round is the number of lower bits in a mask
// that the threads set together, so ranks need no sort in the workgroup and no subgroups.
// Grid: x blocks, y rows. The prelude gives WORKGROUP (a multiple of 32), BLOCK and SHIFT.

struct Shape {
  vocab_size: u32,
  num_blocks: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> entries: array<vec2<u32>>; // [rows][vocab_size]: key, token
@group(0) @binding(2) var<storage, read> places: array<u32>; // [rows][256][num_blocks]
@group(0) @binding(3) var<storage, read_write> moved: array<vec2<u32>>; // [rows][vocab_size]

const WORDS: u32 = WORKGROUP / 32u;

var<workgroup> masks: array<atomic<u32>, 256 * WORDS>;
var<workgroup> next: array<u32, 256>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let row_at = workgroup.y * shape.vocab_size;
  for (var digit = local; digit < 256u; digit += WORKGROUP) {
    next[digit] = places[(workgroup.y * 256u + digit) * shape.num_blocks + workgroup.x];
  }
  for (var start = workgroup.x * BLOCK; start < (workgroup.x + 1u) * BLOCK; start += WORKGROUP) {
    for (var i = local; i < 256u * WORDS; i += WORKGROUP) {
      atomicStore(&masks[i], 0u);
    }
    // Publishes empty masks and the places after the round before.
    workgroupBarrier();
    let is_key = start + local < shape.vocab_size;
    var entry = vec2<u32>(0u, 0u);
    var digit = 0u;
    if (is_key) {
      entry = entries[row_at + start + local];
      digit = (entry.x >> SHIFT) & 255u;
      atomicOr(&masks[digit * WORDS + local / 32u], 1u << (local % 32u));
    }
    // Publishes the masks.
    workgroupBarrier();
    var rank = 0u;
    var total = 0u;
    if (is_key) {
      for (var word = 0u; word < WORDS; word++) {
        let bits = atomicLoad(&masks[digit * WORDS + word]);
        total += countOneBits(bits);
        if (word < local / 32u) {
          rank += countOneBits(bits);
        } else if (word == local / 32u) {
          rank += countOneBits(bits & ((1u << (local % 32u)) - 1u));
        }
      }
      moved[row_at + next[digit] + rank] = entry;
    }
    // All have read the places before the last one of each digit moves them on.
    workgroupBarrier();
    if (is_key && rank + 1u == total) {
      next[digit] += total;
    }
  }
}
