import { inspect, isDeepStrictEqual } from 'node:util'

/**
 * Compares a value of an example with its `// =>` comment.
 *
 * @param {unknown} value - What the example computed.
 * @param {() => unknown} expected - Evaluates the comment.
 * @param {string} text - The comment as written.
 * @throws {Error} when they differ.
 */
export function expectValue(value, expected, text) {
  if (!isDeepStrictEqual(value, expected())) {
    throw new Error(`the example says "// => ${text}": current value is ${inspect(value)}`)
  }
}
