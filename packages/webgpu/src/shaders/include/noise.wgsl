// Gumbel noise of a token. Ports packages/core/src/cpu/math.ts (gumbelF32) and packages/core/src/philox.ts; its CUDA
// twin is packages/cuda/csrc/kernels/common. Needs NOISE_VLLM from the prelude.

// High word of a product of two u32: WGSL has neither 64-bit integers nor mulhi.
fn mul_high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  // Neither sum overflows: (2^16 - 1)^2 + 2 (2^16 - 1) = 2^32 - 1.
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let cross = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (cross >> 16u);
}

// Philox2x32-10: the word of the token under the row's key.
fn flash_bits(token_id: u32, key: vec2<u32>) -> u32 {
  var c0 = ((token_id >> 4u) << 3u) | (token_id & 7u);
  var c1 = key.x;
  var k = key.y;
  for (var i = 0u; i < 10u; i++) {
    let high = mul_high(c0, 0xd256d193u);
    let low = c0 * 0xd256d193u;
    c0 = high ^ k ^ c1;
    c1 = low;
    k += 0x9e3779b9u;
  }
  return select(c0, c1, ((token_id >> 3u) & 1u) == 1u);
}

// Philox4x32-10 with the token in the first counter word: its first word.
fn vllm_bits(token_id: u32, key: vec2<u32>) -> u32 {
  var c = vec4<u32>(token_id, 0u, 0u, 0u);
  var k = key;
  for (var i = 0u; i < 10u; i++) {
    let high0 = mul_high(c.x, 0xd2511f53u);
    let low0 = c.x * 0xd2511f53u;
    let high1 = mul_high(c.z, 0xcd9e8d57u);
    let low1 = c.z * 0xcd9e8d57u;
    c = vec4<u32>(high1 ^ c.y ^ k.x, low1, high0 ^ c.w ^ k.y, low0);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c.x;
}

fn noise_bits(token_id: u32, key: vec2<u32>) -> u32 {
  if (NOISE_VLLM) {
    return vllm_bits(token_id, key);
  }
  return flash_bits(token_id, key);
}

// Natural logarithm of a positive normal number within 2 ulp. WGSL's own log may be off by 2^-21 about 1.
fn log_f32(x: f32) -> f32 {
  let shifted = bitcast<i32>(x) - 0x3f3504f3;
  let f = bitcast<f32>((shifted & 0x7fffff) + 0x3f3504f3) - 1.0;
  let z = f * f;
  var y = 7.0376836292e-2 * f - 1.151461031e-1;
  y = y * f + 1.167699874e-1;
  y = y * f - 1.2420140846e-1;
  y = y * f + 1.4249322787e-1;
  y = y * f - 1.6668057665e-1;
  y = y * f + 2.0000714765e-1;
  y = y * f - 2.4999993993e-1;
  y = y * f + 3.3333331174e-1;
  y = y * f * z - 0.5 * z;
  return (f + y) + f32(shifted >> 23u) * 0.6931471805599453;
}

// Within 1e-5 of the float64 value for every value of the bits: the uniform is never formed near 1.
fn gumbel_noise(bits: u32) -> f32 {
  var v: f32;
  var complement: f32;
  if (NOISE_VLLM) {
    let word = bitcast<i32>(bits);
    let x = max(select(word, -1 - word, word < 0), 1);
    v = f32(x) * 4.6566127342e-10;
    // 1 - 2^31 * 4.6566127342e-10 is what vLLM's rounded constant leaves.
    complement = 2.982369296e-8 + f32(0x80000000u - u32(x)) * 4.6566127342e-10;
  } else {
    v = (f32(bits) + 0.5) * 2.3283064365386963e-10;
    complement = (f32(~bits) + 0.5) * 2.3283064365386963e-10;
  }
  var e = v * (1.0 + v * (0.5 + v * (0.3333333333 + v * (0.25 + v * (0.2 + v * 0.1666666667)))));
  if (v >= 0.0625) {
    e = -log_f32(complement);
  }
  return -log_f32(e);
}
