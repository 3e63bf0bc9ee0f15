// Merges the tiles' winners and log-masses of one draw: token id and log-probability.
//
// Grid: x slots. CUDA twin: the last block's merge in packages/cuda/csrc/kernels.

#include "include/tasks.wgsl"
#include "include/results.wgsl"

@group(0) @binding(1) var<storage, read> candidates: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> masses: array<vec4<u32>>;

var<workgroup> best_score: array<f32, WORKGROUP>;
var<workgroup> best_candidate: array<vec4<u32>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let slot = workgroup.x;
  let task_at = tasks_at() + slot_task(slot) * TASK_WORDS;
  let first = slot * num_tiles();
  var score = DEAD;
  var candidate = vec4<u32>(0u);
  for (var tile = local; tile < num_tiles(); tile += WORKGROUP * UNROLL) {
    // Several loads under way. Past the end the last tile again, which changes nothing.
    #for u UNROLL
    let other_$u = candidates[first + min(tile + $uu * WORKGROUP, num_tiles() - 1u)];
    #end
    #for u UNROLL
    let score_$u = bitcast<f32>(other_$u.x);
    if (is_before(score_$u, other_$u.y, score, candidate.y) && score_$u > DEAD) {
      score = score_$u;
      candidate = other_$u;
    }
    #end
  }
  best_score[local] = score;
  best_candidate[local] = candidate;
  let own_status = merge_mass(slot_task(slot), local);
  let mass_task = call[task_at + 9u];
  var status = own_status;
  if (mass_task != slot_task(slot)) {
    // The same barrier inside merge_mass() separates the two uses of its memory.
    status |= merge_mass(mass_task, local);
  }
  for (var offset = WORKGROUP / 2u; offset > 0u; offset = offset / 2u) {
    // Publishes the candidates of the step before.
    workgroupBarrier();
    if (local < offset) {
      let other = best_candidate[local + offset];
      let other_score = best_score[local + offset];
      if (is_before(other_score, other.y, best_score[local], best_candidate[local].y) && other_score > DEAD) {
        best_score[local] = other_score;
        best_candidate[local] = other;
      }
    }
  }
  if (local == 0u) {
    let winner = best_candidate[0];
    let is_raw = (call[task_at + 1u] & FLAG_RAW) != 0u;
    let logit = bitcast<f32>(select(winner.z, winner.w, is_raw));
    var token = winner.y;
    if (status != 0u) {
      token = TOKEN_INVALID;
    } else if (best_score[0] <= DEAD) {
      token = TOKEN_MASKED;
    }
    write_token(slot, token, logit - merged_mass.x - log(merged_mass.y));
    results[2u * num_slots_total() + slot] = winner.z;
    results[3u * num_slots_total() + slot] = winner.w;
    results[4u * num_slots_total() + slot] = winner.x;
    results[5u * num_slots_total() + slot] = winner.y;
  }
}
