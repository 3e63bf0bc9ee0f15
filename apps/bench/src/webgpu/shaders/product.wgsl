// Writes the logits of a head: logits[row][token] = sum over d of hidden[row][d] * weight[token][d], f32.
//
// What the contenders that draw from finished logits start with. LANES threads share a dot product, eight elements each
// at a time; a thread works on TOKENS tokens and ROWS rows at once, so that each load serves several products.
// Grid: x groups of ROWS rows, y groups of tokens: the groups of one tile run close together, so its weights come from
// the cache. The prelude gives FORMAT, LANES, TOKENS, ROWS, WORKGROUP and shuffle_xor() where SHUFFLE.

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let lane = local % LANES;
  let first_row = workgroup.x * ROWS;
  let first_token = (workgroup.y * (WORKGROUP / LANES) + local / LANES) * TOKENS;
  var row_at: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    row_at[r] = min(first_row + r, shape.num_rows - 1u) * shape.num_chunks * 2u;
  }
  var token: array<u32, TOKENS>;
  for (var t = 0u; t < TOKENS; t++) {
    token[t] = min(first_token + t, shape.vocab_size - 1u);
  }
  var sums: array<f32, TOKENS * ROWS>;
  for (var c = lane; c < shape.num_chunks; c += LANES) {
    var weights: array<Chunk, TOKENS>;
    var factors: array<f32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) {
      weights[t] = load_chunk(token[t] * shape.num_chunks + c);
      if (FORMAT == INT8 || FORMAT == INT4) {
        factors[t] = scales[token[t] * (shape.num_chunks / 4u) + c / 4u];
      }
    }
    for (var r = 0u; r < ROWS; r++) {
      let states = Chunk(hidden[row_at[r] + 2u * c], hidden[row_at[r] + 2u * c + 1u]);
      for (var t = 0u; t < TOKENS; t++) {
        let at = t * ROWS + r;
        if (FORMAT == INT8 || FORMAT == INT4) {
          sums[at] = fma(dot_chunk(weights[t], states, 0.0), factors[t], sums[at]);
        } else {
          sums[at] = dot_chunk(weights[t], states, sums[at]);
        }
      }
    }
  }
  for (var i = 0u; i < TOKENS * ROWS; i++) {
    var sum = sums[i];
    if (SHUFFLE) {
      for (var offset = LANES / 2u; offset > 0u; offset /= 2u) {
        sum += shuffle_xor(sum, offset);
      }
    } else {
      exchange[local] = sum;
      // Publishes every thread's part; control flow is uniform.
      workgroupBarrier();
      sum = 0.0;
      for (var other = 0u; other < LANES; other++) {
        sum += exchange[local - lane + other];
      }
      // Nobody overwrites a part that is still to be read.
      workgroupBarrier();
    }
    let row = first_row + i % ROWS;
    let written = first_token + i / ROWS;
    if (lane == i % LANES && row < shape.num_rows && written < shape.vocab_size) {
      logits[row * shape.vocab_size + written] = sum;
    }
  }
}
