// What happens to a tile's raw logits, whether they were multiplied here or read.

// [num_slots][num_tiles]: score, token id, transformed logit, raw logit of the tile's winner.
@group(0) @binding(6) var<storage, read_write> candidates: array<vec4<u32>>;
// [num_tasks][num_tiles]: highest transformed logit, sum of e^(logit - highest), status.
@group(0) @binding(7) var<storage, read_write> masses: array<vec4<u32>>;
// [num_lists][num_tiles][TOP]: transformed logit, token id and raw logit of the tile's best by logit, best first.
@group(0) @binding(8) var<storage, read_write> lists: array<u32>;

// Threads that scan a row's part of the tile one after the other.
const SEGMENTS: u32 = 8u;
const SEGMENT: u32 = TILE / SEGMENTS;

// Scores of one draw, [ROWS][TILE].
var<workgroup> scores: array<f32, ROWS * TILE>;
// [ROWS][SEGMENTS]
var<workgroup> segment_value: array<f32, ROWS * SEGMENTS>;
var<workgroup> segment_sum: array<f32, ROWS * SEGMENTS>;
var<workgroup> segment_index: array<u32, ROWS * SEGMENTS>;

fn sample_tile(tile: u32, first_task: u32, first_token: u32, num_tokens: u32, local: u32) {
  let num_rows = min(ROWS, num_tasks() - first_task);
  transform_tile(first_task, first_token, num_tokens, local);

  // Log-mass and status: each thread a segment, then one thread a row.
  for (var i = local; i < num_rows * SEGMENTS; i += WORKGROUP) {
    let at = (i / SEGMENTS) * TILE + (i % SEGMENTS) * SEGMENT;
    var highest = DEAD;
    var status = 0u;
    for (var t = 0u; t < SEGMENT; t++) {
      if ((i % SEGMENTS) * SEGMENT + t < num_tokens) {
        status |= logit_status(raw_logits[at + t]);
        highest = max(highest, logits[at + t]);
      }
    }
    var sum = 0.0;
    for (var t = 0u; t < SEGMENT; t++) {
      if (logits[at + t] > DEAD) {
        sum += exp(logits[at + t] - highest);
      }
    }
    segment_value[i] = highest;
    segment_sum[i] = sum;
    segment_index[i] = status;
  }
  // Publishes the segments' masses.
  workgroupBarrier();
  for (var r = local; r < num_rows; r += WORKGROUP) {
    var highest = DEAD;
    var status = 0u;
    for (var s = 0u; s < SEGMENTS; s++) {
      highest = max(highest, segment_value[r * SEGMENTS + s]);
      status |= segment_index[r * SEGMENTS + s];
    }
    var sum = 0.0;
    for (var s = 0u; s < SEGMENTS; s++) {
      let value = segment_value[r * SEGMENTS + s];
      if (value > DEAD) {
        sum += segment_sum[r * SEGMENTS + s] * exp(value - highest);
      }
    }
    masses[(first_task + r) * num_tiles() + tile] =
      vec4<u32>(bitcast<u32>(highest), bitcast<u32>(sum), status, 0u);
  }

  // Best by logit: a token's rank is the number of tokens of the tile that come before it.
  if (TOP > 0u) {
    for (var i = local; i < num_rows * TILE; i += WORKGROUP) {
      let r = i / TILE;
      let t = i % TILE;
      let list = call[tasks_at() + (first_task + r) * TASK_WORDS + 10u];
      if (list != NO_LIST) {
        var rank = 0u;
        for (var other = 0u; other < TILE; other++) {
          if (is_before(logits[r * TILE + other], other, logits[i], t)) {
            rank += 1u;
          }
        }
        if (rank < TOP) {
          let at = ((list * num_tiles() + tile) * TOP + rank) * ENTRY_WORDS;
          lists[at] = bitcast<u32>(logits[i]);
          lists[at + 1u] = first_token + t;
          lists[at + 2u] = bitcast<u32>(raw_logits[i]);
        }
      }
    }
  }

  // Draws.
  for (var draw = 0u; draw < max_slots(); draw++) {
    for (var i = local; i < num_rows * TILE; i += WORKGROUP) {
      let r = i / TILE;
      let t = i % TILE;
      let task_at = tasks_at() + (first_task + r) * TASK_WORDS;
      var score = logits[i];
      if (draw < call[task_at + 8u] && score > DEAD) {
        let token_id = first_token + t;
        let flags = call[task_at + 1u];
        if ((flags & FLAG_BOUNDARY) != 0u) {
          let boundary_logit = bitcast<f32>(call[task_at + 14u]);
          if (is_before(boundary_logit, call[task_at + 15u], score, token_id)) {
            score = DEAD;
          }
        }
        if ((flags & FLAG_GREEDY) == 0u && score > DEAD) {
          score += gumbel_noise(noise_bits(token_id, slot_key(call[task_at + 7u] + draw)));
        }
      }
      scores[i] = score;
    }
    // Publishes the scores.
    workgroupBarrier();
    for (var i = local; i < num_rows * SEGMENTS; i += WORKGROUP) {
      let at = (i / SEGMENTS) * TILE + (i % SEGMENTS) * SEGMENT;
      var best = 0u;
      for (var t = 1u; t < SEGMENT; t++) {
        if (scores[at + t] > scores[at + best]) {
          best = t;
        }
      }
      segment_index[i] = at + best;
    }
    // Publishes the segments' winners.
    workgroupBarrier();
    for (var r = local; r < num_rows; r += WORKGROUP) {
      var best = segment_index[r * SEGMENTS];
      for (var s = 1u; s < SEGMENTS; s++) {
        let other = segment_index[r * SEGMENTS + s];
        if (scores[other] > scores[best]) {
          best = other;
        }
      }
      let task_at = tasks_at() + (first_task + r) * TASK_WORDS;
      if (draw < call[task_at + 8u]) {
        candidates[(call[task_at + 7u] + draw) * num_tiles() + tile] = vec4<u32>(
          bitcast<u32>(scores[best]),
          first_token + best % TILE,
          bitcast<u32>(logits[best]),
          bitcast<u32>(raw_logits[best]),
        );
      }
    }
    // The scores of this draw have been read.
    workgroupBarrier();
  }
}
