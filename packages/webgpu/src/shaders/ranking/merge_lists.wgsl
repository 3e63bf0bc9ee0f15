// Decides topK, topP and minP of one row without its logits, and reports its most likely tokens.
//
// Every filter keeps a prefix of the tokens ranked by logit. The tiles' lists give the head of that ranking for certain:
// up to the first token that ends some tile's list. Where the kept set ends inside it, the draw is the best score in
// the prefix; where it reaches past it, the best score of all tokens is the draw if it is certainly kept. What remains
// is left open, for an exact second pass. Ports packages/core/src/rows/row-process.ts. Runs after merge_sample.
//
// Grid: x lists.

#include "../include/tasks.wgsl"
#include "../include/noise.wgsl"
#include "../include/results.wgsl"

@group(0) @binding(1) var<storage, read> candidates: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> masses: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> lists: array<u32>;
// [num_lists][report_words]: number of tokens or REPORT_OPEN, then token id and log-probability of each.
@group(0) @binding(6) var<storage, read_write> reports: array<u32>;

const REPORT_OPEN: u32 = 0xffffffffu;
const NO_TOKEN: u32 = 0xffffffffu;
// Parts of the list that threads scan.
const PARTS: u32 = 16u;

// The head of the ranking, best first, with the sum of e^(logit - highest) up to and including each token.
var<workgroup> list_logit: array<f32, CAPACITY>;
var<workgroup> list_token: array<u32, CAPACITY>;
var<workgroup> list_raw: array<u32, CAPACITY>;
var<workgroup> list_sum: array<f32, CAPACITY>;
var<workgroup> part_sum: array<f32, PARTS>;

var<workgroup> best_value: array<f32, WORKGROUP>;
var<workgroup> best_token: array<u32, WORKGROUP>;
var<workgroup> best_index: array<u32, WORKGROUP>;

var<workgroup> histogram: array<atomic<u32>, 256>;
var<workgroup> counter: atomic<u32>;
var<workgroup> counted: u32;
var<workgroup> least_key: u32;
var<workgroup> wanted: u32;

// u32 in the order of the logits; equal logits have equal keys.
fn ordered_key(logit: f32) -> u32 {
  let bits = bitcast<u32>(select(logit, 0.0, logit == 0.0));
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn entry_at(list: u32, tile: u32, rank: u32) -> u32 {
  return ((list * num_tiles() + tile) * TOP + rank) * ENTRY_WORDS;
}

// Brings the best of all threads' values to index 0. All threads call it.
fn reduce_best(local: u32) {
  for (var offset = WORKGROUP / 2u; offset > 0u; offset = offset / 2u) {
    // Publishes the values of the step before.
    workgroupBarrier();
    if (local < offset) {
      let other = local + offset;
      if (is_before(best_value[other], best_token[other], best_value[local], best_token[local])) {
        best_value[local] = best_value[other];
        best_token[local] = best_token[other];
        best_index[local] = best_index[other];
      }
    }
  }
  // Publishes the result.
  workgroupBarrier();
}

// The counter's value for all threads; sets it to zero.
fn take_count(local: u32) -> u32 {
  // All additions have been made.
  workgroupBarrier();
  if (local == 0u) {
    counted = atomicExchange(&counter, 0u);
  }
  return workgroupUniformLoad(&counted);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let list = workgroup.x;
  let task_index = list_task(list);
  let task = read_task(task_index);

  // The first of the tokens that end a full list: what ranks behind it may be missing from the lists.
  best_value[local] = DEAD;
  best_token[local] = NO_TOKEN;
  for (var tile = local; tile < num_tiles(); tile += WORKGROUP) {
    let at = entry_at(list, tile, TOP - 1u);
    let logit = bitcast<f32>(lists[at]);
    if (is_before(logit, lists[at + 1u], best_value[local], best_token[local]) && logit > DEAD) {
      best_value[local] = logit;
      best_token[local] = lists[at + 1u];
    }
  }
  if (local == 0u) {
    atomicStore(&counter, 0u);
  }
  reduce_best(local);
  let cut_logit = workgroupUniformLoad(&best_value[0]);
  let cut_token = workgroupUniformLoad(&best_token[0]);
  // Lists that all end early hold every token; then nothing is cut and cut_logit is DEAD.
  for (var tile = local; tile < num_tiles(); tile += WORKGROUP) {
    for (var rank = 0u; rank < TOP; rank++) {
      let at = entry_at(list, tile, rank);
      let logit = bitcast<f32>(lists[at]);
      if (logit <= DEAD || is_before(cut_logit, cut_token, logit, lists[at + 1u])) {
        break;
      }
      atomicAdd(&counter, 1u);
    }
  }
  let num_certain = take_count(local);
  let is_complete = cut_logit <= DEAD && num_certain <= CAPACITY;

  // The least key that fits the capacity, eight bits at a time.
  if (local == 0u) {
    least_key = 0u;
    wanted = CAPACITY;
  }
  if (num_certain > CAPACITY) {
    for (var step = 0u; step < 4u; step++) {
      let shift = 24u - 8u * step;
      for (var i = local; i < 256u; i += WORKGROUP) {
        atomicStore(&histogram[i], 0u);
      }
      let prefix = workgroupUniformLoad(&least_key);
      for (var tile = local; tile < num_tiles(); tile += WORKGROUP) {
        for (var rank = 0u; rank < TOP; rank++) {
          let at = entry_at(list, tile, rank);
          let logit = bitcast<f32>(lists[at]);
          if (logit <= DEAD || is_before(cut_logit, cut_token, logit, lists[at + 1u])) {
            break;
          }
          let key = ordered_key(logit);
          // The upper bits agree; shifted in two steps, as a shift by 32 is none.
          if (((key ^ prefix) >> shift) >> 8u == 0u) {
            atomicAdd(&histogram[(key >> shift) & 255u], 1u);
          }
        }
      }
      // Publishes the histogram.
      workgroupBarrier();
      if (local == 0u) {
        var digit = 255u;
        while (digit > 0u && atomicLoad(&histogram[digit]) < wanted) {
          wanted -= atomicLoad(&histogram[digit]);
          digit -= 1u;
        }
        least_key = prefix | (digit << shift);
        if (step == 3u && atomicLoad(&histogram[digit]) > wanted) {
          // Not all tokens of this logit fit: none of them is listed.
          least_key += 1u;
        }
      }
      // least_key and wanted are read by the next step.
      workgroupBarrier();
    }
  }
  let key_limit = workgroupUniformLoad(&least_key);
  for (var i = local; i < CAPACITY; i += WORKGROUP) {
    list_logit[i] = DEAD;
    list_token[i] = NO_TOKEN;
  }
  // The list is cleared before it is filled.
  workgroupBarrier();
  for (var tile = local; tile < num_tiles(); tile += WORKGROUP) {
    for (var rank = 0u; rank < TOP; rank++) {
      let at = entry_at(list, tile, rank);
      let logit = bitcast<f32>(lists[at]);
      if (logit <= DEAD || is_before(cut_logit, cut_token, logit, lists[at + 1u])) {
        break;
      }
      if (ordered_key(logit) >= key_limit) {
        let i = atomicAdd(&counter, 1u);
        list_logit[i] = logit;
        list_token[i] = lists[at + 1u];
        list_raw[i] = lists[at + 2u];
      }
    }
  }
  let count = take_count(local);

  // Bitonic sort, best first.
  for (var size = 2u; size <= CAPACITY; size = size * 2u) {
    for (var stride = size / 2u; stride > 0u; stride = stride / 2u) {
      for (var pair = local; pair < CAPACITY / 2u; pair += WORKGROUP) {
        let low = (pair / stride) * stride * 2u + pair % stride;
        let high = low + stride;
        let is_descending = (low & size) == 0u;
        if (is_before(list_logit[high], list_token[high], list_logit[low], list_token[low]) == is_descending) {
          let logit = list_logit[low];
          let token = list_token[low];
          let raw = list_raw[low];
          list_logit[low] = list_logit[high];
          list_token[low] = list_token[high];
          list_raw[low] = list_raw[high];
          list_logit[high] = logit;
          list_token[high] = token;
          list_raw[high] = raw;
        }
      }
      // Publishes the order of this step.
      workgroupBarrier();
    }
  }

  // Masses up to each token: parts by themselves, then their offsets.
  let highest = list_logit[0];
  for (var part = local; part < PARTS; part += WORKGROUP) {
    var sum = 0.0;
    for (var i = 0u; i < CAPACITY / PARTS; i++) {
      let at = part * (CAPACITY / PARTS) + i;
      if (at < count) {
        sum += exp(list_logit[at] - highest);
      }
      list_sum[at] = sum;
    }
    part_sum[part] = sum;
  }
  // Publishes the parts.
  workgroupBarrier();
  if (local == 0u) {
    var offset = 0.0;
    for (var i = 0u; i < PARTS; i++) {
      let sum = part_sum[i];
      part_sum[i] = offset;
      offset += sum;
    }
  }
  // Publishes the offsets.
  workgroupBarrier();
  for (var i = local; i < CAPACITY; i += WORKGROUP) {
    list_sum[i] += part_sum[i / (CAPACITY / PARTS)];
  }

  _ = merge_mass(task_index, local);
  let total = merged_mass.y;
  // The total has been read.
  workgroupBarrier();
  _ = merge_mass(task.mass_task, local);
  let log_mass = merged_mass.x + log(merged_mass.y);
  let is_raw = (task.flags & FLAG_RAW) != 0u;

  if ((task.flags & FLAG_FILTERED) != 0u && count > 0u) {
    draw_filtered(task, count, is_complete, total, log_mass, local);
  } else if ((task.flags & FLAG_FILTERED) != 0u) {
    leave_open(task, local);
  }

  // Report.
  if (task.num_reported > 0u) {
    let at = list * report_words();
    let is_open = !is_complete && count < task.num_reported;
    if (local == 0u) {
      reports[at] = select(min(count, task.num_reported), REPORT_OPEN, is_open);
    }
    for (var i = local; i < min(count, task.num_reported); i += WORKGROUP) {
      reports[at + 1u + 2u * i] = list_token[i];
      reports[at + 2u + 2u * i] = bitcast<u32>(select(list_logit[i], bitcast<f32>(list_raw[i]), is_raw) - log_mass);
    }
  }
}

fn leave_open(task: Task, local: u32) {
  for (var draw = local; draw < task.num_slots; draw += WORKGROUP) {
    if (results[task.first_slot + draw] < TOKEN_OPEN) {
      write_token(task.first_slot + draw, TOKEN_OPEN, 0.0);
    }
  }
}

// Mass before a token of the list.
fn sum_before(i: u32) -> f32 {
  if (i == 0u) {
    return 0.0;
  }
  return list_sum[i - 1u];
}

// Tokens of the list that topP keeps: mass before them below p of the total, the first always.
fn count_under_top_p(task: Task, limit: u32, total: f32, local: u32) -> u32 {
  for (var i = local + 1u; i < limit; i += WORKGROUP) {
    if (sum_before(i) < task.top_p * total) {
      atomicAdd(&counter, 1u);
    }
  }
  return 1u + take_count(local);
}

fn draw_filtered(task: Task, count: u32, is_complete: bool, total: f32, log_mass: f32, local: u32) {
  let limit = select(task.top_k, 0xffffffffu, task.top_k == 0u);
  let has_min_p = task.log_min_p > DEAD;
  let threshold = select(DEAD, min(list_logit[0], list_logit[0] + task.log_min_p), has_min_p);
  for (var i = local; i < min(count, limit); i += WORKGROUP) {
    if (list_logit[i] >= threshold) {
      atomicAdd(&counter, 1u);
    }
  }
  let num_kept = take_count(local);
  let has_top_p = task.top_p < 1.0;
  // Tokens that may be drawn; 0 where the list does not tell.
  var drawable = 0u;
  if (is_complete || num_kept < count || num_kept == limit) {
    drawable = num_kept;
    if (has_top_p) {
      drawable = count_under_top_p(task, num_kept, list_sum[num_kept - 1u], local);
    }
  } else if (has_top_p) {
    let most = count_under_top_p(task, count, total, local);
    let is_open = !has_min_p && task.top_k == 0u;
    if (is_open) {
      if (list_sum[count - 1u] >= task.top_p * total) {
        drawable = most;
      }
    } else {
      // The total lies between the list's mass and all mass; where both cut alike inside the list, so does it.
      let fewest = count_under_top_p(task, count, list_sum[count - 1u], local);
      if (fewest == most && most < count) {
        drawable = most;
      }
    }
  }
  // All of the list is kept if its last token is, even where the total is no more than the list itself.
  let lowest_total = select(list_sum[count - 1u], total, !has_min_p && task.top_k == 0u);
  let is_list_kept = !has_top_p || sum_before(count - 1u) < task.top_p * lowest_total;

  for (var draw = 0u; draw < task.num_slots; draw++) {
    let slot = task.first_slot + draw;
    best_value[local] = DEAD;
    best_token[local] = NO_TOKEN;
    best_index[local] = 0u;
    for (var i = local; i < drawable; i += WORKGROUP) {
      let score = list_logit[i] + gumbel_noise(noise_bits(list_token[i], slot_key(slot)));
      if (is_before(score, list_token[i], best_value[local], best_token[local])) {
        best_value[local] = score;
        best_token[local] = list_token[i];
        best_index[local] = i;
      }
    }
    reduce_best(local);
    if (local == 0u && results[slot] < TOKEN_OPEN) {
      if (drawable > 0u) {
        let winner = best_index[0];
        let is_raw = (task.flags & FLAG_RAW) != 0u;
        let logit = select(list_logit[winner], bitcast<f32>(list_raw[winner]), is_raw);
        write_token(slot, list_token[winner], logit - log_mass);
      } else {
        // The best score of all tokens, from merge_sample, whose log-probability stands already.
        let logit = bitcast<f32>(results[2u * num_slots_total() + slot]);
        let token = results[5u * num_slots_total() + slot];
        let is_listed = !is_before(list_logit[count - 1u], list_token[count - 1u], logit, token);
        let is_kept = logit >= threshold && ((is_list_kept && is_listed) || (!has_top_p && task.top_k == 0u));
        if (!is_kept) {
          write_token(slot, TOKEN_OPEN, 0.0);
        }
      }
    }
    // The winner of this draw has been read.
    workgroupBarrier();
  }
}
