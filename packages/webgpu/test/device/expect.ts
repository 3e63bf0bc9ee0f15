/** Assertions that run in Node and in pages. */

export function isTrue(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}

export function equal(actual: unknown, expected: unknown, what: string): void {
  const [found, wanted] = [show(actual), show(expected)]
  isTrue(found === wanted, `${what}: expected ${wanted}, got ${found}`)
}

/** Demands a rejection or a throw, and gives the error. */
export async function rejects(
  work: Promise<unknown> | (() => unknown),
  expected: { code?: string; name?: string; message?: RegExp },
  what: string,
): Promise<Error> {
  let caught: unknown
  try {
    await (typeof work === 'function' ? work() : work)
  } catch (error) {
    caught = error
  }
  if (!(caught instanceof Error)) throw new Error(`${what}: expected an error, got none`)
  const { code, name, message } = expected
  if (code !== undefined)
    equal((caught as { code?: string }).code, code, `${what}, code of ${caught}`)
  if (name !== undefined) equal(caught.name, name, `${what}, name of ${caught}`)
  if (message !== undefined) isTrue(message.test(caught.message), `${what}: "${caught.message}"`)
  return caught
}

function show(value: unknown): string {
  const text = JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === 'bigint') return `${part}n`
    if (ArrayBuffer.isView(part)) return Array.from(part as unknown as ArrayLike<number>)
    return part
  })
  return text === undefined ? String(value) : text
}
