// Without subgroups SUBGROUP is 1 and nothing calls this.

fn shuffle_xor(value: f32, offset: u32) -> f32 {
  return value;
}
