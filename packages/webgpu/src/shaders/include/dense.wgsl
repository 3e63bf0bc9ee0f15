// Weights that are stored as they are: nothing is scaled, nothing is added.

fn load_scale(row: u32, load: u32) -> f32 {
  return 1.0;
}

fn load_zero_point(row: u32, load: u32) -> f32 {
  return 0.0;
}

fn load_offset(row: u32, load: u32) -> f32 {
  return 0.0;
}

fn scale_states(states: Chunk) -> Chunk {
  return states;
}

fn sum_states(states: Chunk) -> f32 {
  return 0.0;
}

fn accumulate(weights: Chunk, states: Chunk, scale: f32, total: f32, offset: f32, start: f32) -> f32 {
  return multiply_add(weights, states, start);
}
