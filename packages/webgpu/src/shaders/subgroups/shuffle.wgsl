// Exchange inside a subgroup; the composer puts "enable subgroups;" first.

fn shuffle_xor(value: f32, offset: u32) -> f32 {
  return subgroupShuffleXor(value, offset);
}
