// Results of the draws, and the merge of log-masses.

const TOKEN_INVALID: u32 = 0xffffffffu;  // -1
const TOKEN_MASKED: u32 = 0xfffffffeu;  // -2
const TOKEN_OPEN: u32 = 0xfffffffdu;  // -3

// Planes of [num_slots]: token ids as i32, negative where the row has no result; log-probabilities; transformed and raw
// logits, scores and ids of the tokens with the best scores, whether or not they pass the filters.
@group(0) @binding(3) var<storage, read_write> results: array<u32>;
// The caller's memory for token ids; one or two words each.
@group(0) @binding(4) var<storage, read_write> destination: array<u32>;

// Highest logit and sum of e^(logit - highest), after merge_mass().
var<workgroup> merged_mass: vec2<f32>;
var<workgroup> mass_highest: array<f32, WORKGROUP>;
var<workgroup> mass_sum: array<f32, WORKGROUP>;
var<workgroup> mass_status: array<u32, WORKGROUP>;

// Merges the tiles' masses of a task into merged_mass; returns the task's status. All threads call it.
fn merge_mass(task: u32, local: u32) -> u32 {
  var highest = DEAD;
  var sum = 0.0;
  var status = 0u;
  for (var tile = local; tile < num_tiles(); tile += WORKGROUP * UNROLL) {
    #for u UNROLL
    let mass_$u = masses[task * num_tiles() + min(tile + $uu * WORKGROUP, num_tiles() - 1u)];
    #end
    #for u UNROLL
    let highest_$u = bitcast<f32>(mass_$u.x);
    status |= mass_$u.z;
    if (tile + $uu * WORKGROUP < num_tiles() && highest_$u > DEAD) {
      let new_highest_$u = max(highest, highest_$u);
      sum = add_scaled(sum, highest, bitcast<f32>(mass_$u.y), highest_$u, new_highest_$u);
      highest = new_highest_$u;
    }
    #end
  }
  mass_highest[local] = highest;
  mass_sum[local] = sum;
  mass_status[local] = status;
  for (var offset = WORKGROUP / 2u; offset > 0u; offset = offset / 2u) {
    // Publishes the masses of the step before.
    workgroupBarrier();
    if (local < offset) {
      let other = mass_highest[local + offset];
      let new_highest = max(mass_highest[local], other);
      mass_sum[local] =
        add_scaled(mass_sum[local], mass_highest[local], mass_sum[local + offset], other, new_highest);
      mass_highest[local] = new_highest;
      mass_status[local] |= mass_status[local + offset];
    }
  }
  if (local == 0u) {
    merged_mass = vec2<f32>(mass_highest[0], mass_sum[0]);
  }
  // Publishes the result.
  workgroupBarrier();
  let result = mass_status[0];
  // The result has been read; the memory may be used again.
  workgroupBarrier();
  return result;
}

// a e^(at_a - highest) + b e^(at_b - highest), where DEAD stands for no mass.
fn add_scaled(a: f32, at_a: f32, b: f32, at_b: f32, highest: f32) -> f32 {
  var sum = 0.0;
  if (at_a > DEAD) {
    sum += a * exp(at_a - highest);
  }
  if (at_b > DEAD) {
    sum += b * exp(at_b - highest);
  }
  return sum;
}

fn write_token(slot: u32, token: u32, logprob: f32) {
  results[slot] = token;
  results[num_slots_total() + slot] = bitcast<u32>(logprob);
  let words = destination_words();
  if (words > 0u) {
    let at = destination_at() + slot * words;
    destination[at] = token;
    if (words == 2u) {
      // Sign extension of an i64.
      destination[at + 1u] = select(0u, 0xffffffffu, token >= 0x80000000u);
    }
  }
}
