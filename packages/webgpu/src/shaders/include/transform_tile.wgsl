// Raw logits of a tile into transformed ones.

// [ROWS][TILE]; DEAD where a token cannot be drawn, and past the end of the vocabulary or the batch.
var<workgroup> logits: array<f32, ROWS * TILE>;

// Needs raw_logits to be published; publishes logits.
fn transform_tile(first_task: u32, first_token: u32, num_tokens: u32, local: u32) {
  for (var i = local; i < ROWS * TILE; i += WORKGROUP) {
    let r = i / TILE;
    let t = i % TILE;
    var logit = DEAD;
    if (first_task + r < num_tasks() && t < num_tokens) {
      logit = transform_logit(read_task(first_task + r), first_token + t, raw_logits[i]);
    }
    logits[i] = logit;
  }
  // Publishes the transformed logits.
  workgroupBarrier();
}
