// Writes the logits of a head: logits[row][token] = sum over d of hidden[row][d] * weight[token][d], f32.
//
// What the contenders that draw from finished logits start with. Several threads share a dot product, eight elements
// each at a time; a thread works on several tokens and rows at once, so that each load serves several products.
// Grid: x groups of rows, y groups of tokens: the groups of one tile run close together, so its weights come from the
// cache. product-shader.ts writes main(), with plain variables in place of arrays; the prelude gives FORMAT, LANES,
// WORKGROUP and shuffle_xor() where SHUFFLE.

const F32: u32 = 0u;
const F16: u32 = 1u;
const INT8: u32 = 2u;
const INT4: u32 = 3u;

struct Shape {
  vocab_size: u32,
  // Chunks of eight elements in a row.
  num_chunks: u32,
  num_rows: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> hidden: array<vec4<f32>>; // [num_rows][2 * num_chunks]
@group(0) @binding(2) var<storage, read> weight: array<WeightWord>; // [vocab_size][words of a row]
@group(0) @binding(3) var<storage, read> scales: array<f32>; // [vocab_size][num_chunks / 4], quantised heads only
@group(0) @binding(4) var<storage, read_write> logits: array<f32>; // [num_rows][vocab_size]

struct Chunk {
  low: vec4<f32>,
  high: vec4<f32>,
}

var<workgroup> exchange: array<f32, WORKGROUP>;

fn signed_bytes(word: u32) -> vec4<f32> {
  let bits = bitcast<i32>(word);
  return vec4<f32>(vec4<i32>(bits << 24u, bits << 16u, bits << 8u, bits) >> vec4<u32>(24u));
}

fn dot_chunk(weights: Chunk, states: Chunk, start: f32) -> f32 {
  var sum = fma(weights.low.x, states.low.x, start);
  sum = fma(weights.low.y, states.low.y, sum);
  sum = fma(weights.low.z, states.low.z, sum);
  sum = fma(weights.low.w, states.low.w, sum);
  sum = fma(weights.high.x, states.high.x, sum);
  sum = fma(weights.high.y, states.high.y, sum);
  sum = fma(weights.high.z, states.high.z, sum);
  return fma(weights.high.w, states.high.w, sum);
}

// Sum over the threads of a dot product; every one of them gets it.
fn sum_lanes(part: f32, local: u32) -> f32 {
  var sum = part;
  if (SHUFFLE) {
    for (var offset = LANES / 2u; offset > 0u; offset /= 2u) {
      sum += shuffle_xor(sum, offset);
    }
  } else if (LANES > 1u) {
    exchange[local] = sum;
    // Publishes every thread's part; control flow is uniform.
    workgroupBarrier();
    sum = 0.0;
    for (var other = 0u; other < LANES; other++) {
      sum += exchange[local / LANES * LANES + other];
    }
    // Nobody overwrites a part that is still to be read.
    workgroupBarrier();
  }
  return sum;
}
