// Reads a buffer and does nothing else. Grid: x workgroups that take turns. The prelude gives WORKGROUP and UNROLL.

@group(0) @binding(0) var<storage, read> words: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sink: array<u32>;
@group(0) @binding(2) var<uniform> num_words: u32; // of 16 bytes, to be read

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) num_workgroups: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let stride = num_workgroups.x * WORKGROUP;
  var bits = vec4<u32>(0u);
  var i = workgroup.x * WORKGROUP + local;
  for (; i + (UNROLL - 1u) * stride < num_words; i += UNROLL * stride) {
    var loaded: array<vec4<u32>, UNROLL>;
    for (var k = 0u; k < UNROLL; k++) {
      loaded[k] = words[i + k * stride];
    }
    for (var k = 0u; k < UNROLL; k++) {
      bits ^= loaded[k];
    }
  }
  for (; i < num_words; i += stride) {
    bits ^= words[i];
  }
  // No load can be left out, and hardly any thread writes.
  if (all(bits == vec4<u32>(0x9e3779b9u))) {
    sink[0] = local;
  }
}
