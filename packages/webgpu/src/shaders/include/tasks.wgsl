// Rows as the kernels see them. Written by src/call-layout.ts: one buffer of words, header, tasks, slots, lists.

// Lowest finite value: marks a token that cannot be drawn. WGSL has no infinities to rely on.
const DEAD: f32 = -3.40282346638528859812e+38;
// Just inside the range, so that no token is taken for one that cannot be drawn.
const LARGEST: f32 = 3.4e38;
const NO_LIST: u32 = 0xffffffffu;

const FLAG_GREEDY: u32 = 1u;
const FLAG_MASK: u32 = 2u;
// Tokens that rank after the boundary are not drawn.
const FLAG_BOUNDARY: u32 = 4u;
const FLAG_RAW: u32 = 8u;
// topK, topP or minP decide what may be drawn.
const FLAG_FILTERED: u32 = 16u;

const STATUS_NAN: u32 = 1u;
const STATUS_INFINITE: u32 = 2u;

const TASK_WORDS: u32 = 20u;
const SLOT_WORDS: u32 = 4u;
const EDIT_WORDS: u32 = 4u;
const PIVOT_WORDS: u32 = 2u;
// Logit, token id and raw logit of a listed token.
const ENTRY_WORDS: u32 = 3u;

struct Task {
  // Where the row's hidden states or logits begin, in elements of their buffer.
  row_at: u32,
  flags: u32,
  inv_temperature: f32,
  // From this magnitude on, logits are crowded when they are divided by the temperature (transform.wgsl).
  logit_limit: f32,
  // In words of the call buffer.
  mask_at: u32,
  edits_at: u32,
  num_edits: u32,
  first_slot: u32,
  num_slots: u32,
  // Task whose mass the log-probabilities refer to.
  mass_task: u32,
  // Index of the task among those with lists.
  list: u32,
  top_k: u32,
  top_p: f32,
  // Natural logarithm; DEAD is off.
  log_min_p: f32,
  boundary_logit: f32,
  boundary_token: u32,
  // Pivots of a rank pass, in words of the call buffer.
  pivots_at: u32,
  num_pivots: u32,
  // Best tokens by logit to report.
  num_reported: u32,
}

@group(0) @binding(0) var<storage, read> call: array<u32>;

fn num_tasks() -> u32 { return call[0]; }
// Most draws of a task.
fn max_slots() -> u32 { return call[1]; }
fn tasks_at() -> u32 { return call[2]; }
fn slots_at() -> u32 { return call[3]; }
fn num_tiles() -> u32 { return call[4]; }
fn num_slots_total() -> u32 { return call[5]; }
// Words of a token id in the caller's memory: 0 without any, 1 for i32, 2 for i64; and its first word.
fn destination_words() -> u32 { return call[6]; }
fn destination_at() -> u32 { return call[7]; }
// Tasks with lists, in the order of the lists.
fn list_task(list: u32) -> u32 { return call[call[8] + list]; }
// Words of a report.
fn report_words() -> u32 { return call[9]; }

fn read_task(index: u32) -> Task {
  let at = tasks_at() + index * TASK_WORDS;
  return Task(
    call[at], call[at + 1u], bitcast<f32>(call[at + 2u]), bitcast<f32>(call[at + 3u]),
    call[at + 4u], call[at + 5u], call[at + 6u], call[at + 7u],
    call[at + 8u], call[at + 9u], call[at + 10u], call[at + 11u],
    bitcast<f32>(call[at + 12u]), bitcast<f32>(call[at + 13u]),
    bitcast<f32>(call[at + 14u]), call[at + 15u], call[at + 16u], call[at + 17u],
    call[at + 18u],
  );
}

fn slot_key(slot: u32) -> vec2<u32> {
  let at = slots_at() + slot * SLOT_WORDS;
  return vec2<u32>(call[at], call[at + 1u]);
}

fn slot_task(slot: u32) -> u32 {
  return call[slots_at() + slot * SLOT_WORDS + 2u];
}

// Whether a token comes before another by value, lowest id on ties.
fn is_before(value: f32, token_id: u32, other_value: f32, other_id: u32) -> bool {
  return value > other_value || (value == other_value && token_id < other_id);
}
