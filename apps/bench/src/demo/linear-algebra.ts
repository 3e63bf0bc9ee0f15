/**
 * Dense arithmetic of the demo's transformer body: fp32 storage, float64 sums.
 *
 * Every sum runs over its index in ascending order with one accumulator, whatever the number of rows, so a row's
 * result is bitwise the same alone and in a batch.
 *
 * @module
 */

/**
 * Multiplies `outputs = inputs · weightᵀ`.
 *
 * @param weight - `[numOutputs, numInputs]` f32, row-major.
 * @param inputs - `[numRows, numInputs]` f32, row-major.
 * @param outputs - `[numRows, numOutputs]` f32, overwritten.
 * @param numRows - Rows.
 * @param numInputs - Columns of the weight.
 * @param numOutputs - Rows of the weight.
 */
export function multiply(
  weight: Float32Array,
  inputs: Float32Array,
  outputs: Float32Array,
  numRows: number,
  numInputs: number,
  numOutputs: number,
): void {
  const fullOutputs = numOutputs - (numOutputs % 4)
  for (let output = 0; output < fullOutputs; output += 4) {
    let row = 0
    for (; row + 1 < numRows; row += 2) {
      multiplyBlock4x2(weight, inputs, outputs, row, output, numInputs, numOutputs)
    }
    if (row < numRows) multiplyBlock4x1(weight, inputs, outputs, row, output, numInputs, numOutputs)
  }
  for (let output = fullOutputs; output < numOutputs; output++) {
    for (let row = 0; row < numRows; row++) {
      let sum = 0
      for (let i = 0; i < numInputs; i++) {
        sum += (weight[output * numInputs + i] as number) * (inputs[row * numInputs + i] as number)
      }
      outputs[row * numOutputs + output] = sum
    }
  }
}

/** Four outputs of two rows: eight independent sums hide the latency of the additions. */
function multiplyBlock4x2(
  weight: Float32Array,
  inputs: Float32Array,
  outputs: Float32Array,
  row: number,
  output: number,
  numInputs: number,
  numOutputs: number,
): void {
  const w0 = output * numInputs
  const w1 = w0 + numInputs
  const w2 = w1 + numInputs
  const w3 = w2 + numInputs
  const x0 = row * numInputs
  const x1 = x0 + numInputs
  let a0 = 0
  let a1 = 0
  let a2 = 0
  let a3 = 0
  let b0 = 0
  let b1 = 0
  let b2 = 0
  let b3 = 0
  for (let i = 0; i < numInputs; i++) {
    const a = inputs[x0 + i] as number
    const b = inputs[x1 + i] as number
    const p = weight[w0 + i] as number
    const q = weight[w1 + i] as number
    const r = weight[w2 + i] as number
    const s = weight[w3 + i] as number
    a0 += p * a
    a1 += q * a
    a2 += r * a
    a3 += s * a
    b0 += p * b
    b1 += q * b
    b2 += r * b
    b3 += s * b
  }
  const y0 = row * numOutputs + output
  outputs[y0] = a0
  outputs[y0 + 1] = a1
  outputs[y0 + 2] = a2
  outputs[y0 + 3] = a3
  const y1 = y0 + numOutputs
  outputs[y1] = b0
  outputs[y1 + 1] = b1
  outputs[y1 + 2] = b2
  outputs[y1 + 3] = b3
}

function multiplyBlock4x1(
  weight: Float32Array,
  inputs: Float32Array,
  outputs: Float32Array,
  row: number,
  output: number,
  numInputs: number,
  numOutputs: number,
): void {
  const w0 = output * numInputs
  const w1 = w0 + numInputs
  const w2 = w1 + numInputs
  const w3 = w2 + numInputs
  const x0 = row * numInputs
  let a0 = 0
  let a1 = 0
  let a2 = 0
  let a3 = 0
  for (let i = 0; i < numInputs; i++) {
    const a = inputs[x0 + i] as number
    a0 += (weight[w0 + i] as number) * a
    a1 += (weight[w1 + i] as number) * a
    a2 += (weight[w2 + i] as number) * a
    a3 += (weight[w3 + i] as number) * a
  }
  const y0 = row * numOutputs + output
  outputs[y0] = a0
  outputs[y0 + 1] = a1
  outputs[y0 + 2] = a2
  outputs[y0 + 3] = a3
}

/**
 * RMSNorm: `outputs = inputs / sqrt(mean(inputs²) + epsilon) · weight`, row by row.
 *
 * @param inputs - `[numRows, width]` f32.
 * @param weight - `[width]` f32.
 * @param outputs - `[numRows, width]` f32, overwritten.
 * @param numRows - Rows.
 * @param epsilon - Added to the mean square.
 */
export function rmsNorm(
  inputs: Float32Array,
  weight: Float32Array,
  outputs: Float32Array,
  numRows: number,
  epsilon: number,
): void {
  const width = weight.length
  for (let row = 0; row < numRows; row++) {
    const start = row * width
    let sumOfSquares = 0
    for (let i = 0; i < width; i++) sumOfSquares += (inputs[start + i] as number) ** 2
    const scale = 1 / Math.sqrt(sumOfSquares / width + epsilon)
    for (let i = 0; i < width; i++) {
      outputs[start + i] = (inputs[start + i] as number) * scale * (weight[i] as number)
    }
  }
}

/**
 * SwiGLU's gate: `gate = gate · sigmoid(gate) · up`, in place.
 *
 * @param gate - f32, overwritten.
 * @param up - f32, as long as `length`.
 * @param length - Elements.
 */
export function applySwiGlu(gate: Float32Array, up: Float32Array, length: number): void {
  for (let i = 0; i < length; i++) {
    const value = gate[i] as number
    gate[i] = (value / (1 + Math.exp(-value))) * (up[i] as number)
  }
}

/**
 * Adds a vector: `target += source`.
 *
 * @param target - f32, overwritten.
 * @param source - f32.
 * @param length - Elements.
 */
export function addInPlace(target: Float32Array, source: Float32Array, length: number): void {
  for (let i = 0; i < length; i++) target[i] = (target[i] as number) + (source[i] as number)
}
