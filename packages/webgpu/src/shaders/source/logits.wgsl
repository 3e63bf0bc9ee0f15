// Logits that lie in memory, as f32 or pairs of f16.

@group(0) @binding(2) var<storage, read> stored_logits: array<u32>;

fn fill_tile(tile: u32, first_task: u32, local: u32) {
  for (var i = local; i < ROWS * TILE; i += WORKGROUP) {
    let task = min(first_task + i / TILE, num_tasks() - 1u);
    let token = min(tile * TILE + i % TILE, shard.num_tokens - 1u);
    // In elements.
    let at = call[tasks_at() + task * TASK_WORDS] + token;
    if (LOGITS_F16) {
      let pair = unpack2x16float(stored_logits[at >> 1u]);
      raw_logits[i] = select(pair.x, pair.y, (at & 1u) == 1u);
    } else {
      raw_logits[i] = bitcast<f32>(stored_logits[at]);
    }
  }
}
