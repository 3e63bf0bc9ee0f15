// From a raw logit to a transformed one: bias, penalties, mask, temperature. Ports packages/core/src/transform.ts.

// Status bits of a raw logit: NaN, +infinity. By its bits, as compilers may assume that neither occurs.
fn logit_status(logit: f32) -> u32 {
  let bits = bitcast<u32>(logit);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return STATUS_NAN;
  }
  return select(0u, STATUS_INFINITE, bits == 0x7f800000u);
}

fn is_minus_infinity(logit: f32) -> bool {
  return bitcast<u32>(logit) == 0xff800000u;
}

fn is_allowed(task: Task, token_id: u32) -> bool {
  if ((task.flags & FLAG_MASK) == 0u) {
    return true;
  }
  return ((call[task.mask_at + (token_id >> 5u)] >> (token_id & 31u)) & 1u) == 1u;
}

// Position of the token's edit in the call buffer; 0 where it has none. Edits ascend by token.
fn find_edit(task: Task, token_id: u32) -> u32 {
  var low = 0u;
  var high = task.num_edits;
  while (low < high) {
    let middle = (low + high) >> 1u;
    if (call[task.edits_at + middle * EDIT_WORDS] < token_id) {
      low = middle + 1u;
    } else {
      high = middle;
    }
  }
  let at = task.edits_at + low * EDIT_WORDS;
  if (low < task.num_edits && call[at] == token_id) {
    return at;
  }
  return 0u;
}

// Quotients by temperatures below 1 reach 2^188. From 2^108 on, four steps of fp32 become one, so that the 80 powers of
// two up to there share the last 20 of fp32: quotients stay finite and keep their order. Rounded to 2^-22 of themselves.
const CROWDED_BITS: u32 = (127u + 108u) << 23u;
const CROWDED_UNIT_BITS: u32 = 64u << 23u;

fn crowd_quotient(task: Task, logit: f32) -> f32 {
  // In units of 2^64, in which no quotient overflows.
  let scaled = (min(abs(logit), LARGEST) * 5.42101086242752217e-20) * max(task.inv_temperature, 1.0);
  let steps = max(bitcast<u32>(scaled), CROWDED_BITS - CROWDED_UNIT_BITS) - (CROWDED_BITS - CROWDED_UNIT_BITS);
  let crowded = bitcast<f32>(min(CROWDED_BITS + ((steps + 2u) >> 2u), bitcast<u32>(LARGEST)));
  let quotient = select(crowded, min(abs(logit), LARGEST) * task.inv_temperature, task.inv_temperature <= 1.0);
  return select(quotient, -quotient, logit < 0.0);
}

// The raw logit is finite or -infinity; the result is finite, DEAD where the token cannot be drawn.
fn transform_logit(task: Task, token_id: u32, raw_logit: f32) -> f32 {
  if (is_minus_infinity(raw_logit) || !is_allowed(task, token_id)) {
    return DEAD;
  }
  var logit = raw_logit;
  if (task.num_edits > 0u) {
    let edit = find_edit(task, token_id);
    if (edit != 0u) {
      let bias_bits = call[edit + 1u];
      if (bias_bits == 0xff800000u) {
        return DEAD;
      }
      logit += bitcast<f32>(bias_bits);
      let repetition = bitcast<f32>(call[edit + 2u]);
      if (logit > 0.0) {
        logit = logit / repetition;
      } else {
        logit = logit * repetition;
      }
      logit -= bitcast<f32>(call[edit + 3u]);
    }
  }
  if (abs(logit) >= task.logit_limit) {
    return crowd_quotient(task, logit);
  }
  return logit * task.inv_temperature;
}
