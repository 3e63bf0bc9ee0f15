/**
 * The entry point of the plain product.
 *
 * @module
 */

/** How the product is cut. */
export interface ProductCut {
  /** Threads that share a dot product. */
  lanes: number
  /** Tokens that a thread works on at once. */
  tokens: number
  /** Threads of a workgroup. */
  workgroup: number
  /** Whether threads exchange values by subgroups. */
  shuffle: boolean
}

/**
 * Writes `main()` of shaders/product.wgsl with every sum and weight as a variable of its own: drivers keep arrays that
 * loops walk over in memory, which more than doubled the time of eight rows.
 *
 * @param cut - Cut of the kernel.
 * @param rows - Rows that a thread works on at once.
 * @param isQuantised - Whether 32 elements share a scale.
 * @returns WGSL.
 */
export function productMain({ tokens }: ProductCut, rows: number, isQuantised: boolean): string {
  const t = Array.from({ length: tokens }, (_, i) => i)
  const r = Array.from({ length: rows }, (_, i) => i)
  const add = (token: number, row: number): string =>
    isQuantised
      ? `s_${token}_${row} = fma(dot_chunk(w_${token}, h_${row}, 0.0), f_${token}, s_${token}_${row});`
      : `s_${token}_${row} = dot_chunk(w_${token}, h_${row}, s_${token}_${row});`
  return `
@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  // Every format binds them, whether it reads them or not.
  _ = &scales;
  let lane = local % LANES;
  let first_row = workgroup.x * ${rows}u;
  let first_token = (workgroup.y * (WORKGROUP / LANES) + local / LANES) * ${tokens}u;
  ${r.map((row) => `let at_${row} = min(first_row + ${row}u, shape.num_rows - 1u) * shape.num_chunks * 2u;`).join('\n  ')}
  ${t.map((token) => `let t_${token} = min(first_token + ${token}u, shape.vocab_size - 1u);`).join('\n  ')}
  ${t.flatMap((token) => r.map((row) => `var s_${token}_${row} = 0.0;`)).join('\n  ')}
  for (var c = lane; c < shape.num_chunks; c += LANES) {
    ${t.map((token) => `let w_${token} = load_chunk(t_${token} * shape.num_chunks + c);`).join('\n    ')}
    ${isQuantised ? t.map((token) => `let f_${token} = scales[t_${token} * (shape.num_chunks / 4u) + c / 4u];`).join('\n    ') : ''}
    ${r.map((row) => `let h_${row} = Chunk(hidden[at_${row} + 2u * c], hidden[at_${row} + 2u * c + 1u]);\n    ${t.map((token) => add(token, row)).join('\n    ')}`).join('\n    ')}
  }
  // One copy of what follows, as software adapters take long to compile barriers.
  var sums: array<f32, ${tokens * rows}>;
  ${t.flatMap((token) => r.map((row) => `sums[${token * rows + row}] = s_${token}_${row};`)).join('\n  ')}
  for (var i = 0u; i < ${tokens * rows}u; i++) {
    let sum = sum_lanes(sums[i], local);
    let row = first_row + i % ${rows}u;
    let written = first_token + i / ${rows}u;
    if (lane == i % LANES && row < shape.num_rows && written < shape.vocab_size) {
      logits[row * shape.vocab_size + written] = sum;
    }
  }
}
`
}
