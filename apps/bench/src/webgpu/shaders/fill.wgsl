// Fills a buffer with words that no hardware compresses.

@group(0) @binding(0) var<storage, read_write> words: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(global_invocation_id) id: vec3<u32>,
  @builtin(num_workgroups) num_workgroups: vec3<u32>,
) {
  for (var i = id.x; i < arrayLength(&words); i += num_workgroups.x * WORKGROUP) {
    var x = i * 0x9e3779b1u + 0x85ebca6bu;
    x ^= x >> 16u;
    x *= 0x7feb352du;
    x ^= x >> 15u;
    words[i] = x;
  }
}
