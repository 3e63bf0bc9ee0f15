/** Reads what ptxas says about each kernel under `-v`, and what a release build must not accept. */

/**
 * Resources of one kernel on one architecture.
 *
 * @typedef {object} KernelResources
 * @property {string} kernel - Demangled where `c++filt` is installed.
 * @property {string} arch - For example `sm_90a`.
 * @property {string} source - File that was compiled.
 * @property {number} registers - Per thread.
 * @property {number} sharedBytes - Static shared memory of a block.
 * @property {number} stackBytes - Of a thread.
 * @property {number} spillStoreBytes
 * @property {number} spillLoadBytes
 */

/**
 * Reads ptxas' report.
 *
 * @param {string} output - What nvcc printed.
 * @param {string} source - File that was compiled.
 * @returns {KernelResources[]} One per kernel and architecture.
 */
export function readResources(output, source) {
  /** @type {Map<string, KernelResources>} */
  const kernels = new Map()
  /** @type {KernelResources | undefined} */
  let compiling
  /** @type {KernelResources | undefined} */
  let described
  for (const line of output.split('\n')) {
    const entry = /Compiling entry function '(\S+)' for '(\S+)'/.exec(line)
    if (entry !== null) {
      const [, kernel = '', arch = ''] = entry
      compiling = {
        ...{ kernel, arch, source, registers: 0, sharedBytes: 0 },
        ...{ stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 },
      }
      kernels.set(`${arch} ${kernel}`, compiling)
    }
    const properties = /Function properties for '?(\S+?)'?$/.exec(line.trim())
    // A function that was not inlined has properties too; its spills count for the kernel being compiled.
    if (properties !== null) described = compiling
    const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(
      line,
    )
    if (frame !== null && described !== undefined) {
      described.stackBytes += Number(frame[1])
      described.spillStoreBytes += Number(frame[2])
      described.spillLoadBytes += Number(frame[3])
    }
    const used = /Used (\d+) registers/.exec(line)
    if (used !== null && compiling !== undefined) {
      compiling.registers = Number(used[1])
      compiling.sharedBytes = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0)
    }
  }
  return [...kernels.values()]
}

/**
 * Finds what makes a kernel slow without making it wrong: serialised wgmma and registers that spill into memory.
 *
 * @param {string} output - What nvcc printed.
 * @param {KernelResources[]} kernels
 * @returns {string[]} One line per problem.
 */
export function findDefects(output, kernels) {
  const serialised = output.split('\n').filter((line) => line.includes('C7510'))
  const spilling = kernels.filter((k) => k.spillStoreBytes > 0 || k.spillLoadBytes > 0)
  return [
    ...new Set(serialised.map((line) => line.trim())),
    ...spilling.map(
      (k) =>
        `${k.source}: ${k.kernel} spills on ${k.arch}: ${k.spillStoreBytes} bytes stored, ${k.spillLoadBytes} loaded`,
    ),
  ]
}

/**
 * Aligns the report in columns.
 *
 * @param {KernelResources[]} kernels
 * @returns {string} One line per kernel and architecture.
 */
export function formatResources(kernels) {
  const rows = [
    ['registers', 'shared', 'stack', 'spills', 'arch', 'kernel'],
    ...kernels.map((k) => [
      ...[k.registers, k.sharedBytes, k.stackBytes, k.spillStoreBytes].map(String),
      ...[k.arch, k.kernel.length > 100 ? `${k.kernel.slice(0, 99)}…` : k.kernel],
    ]),
  ]
  return rows
    .map((row) => row.map((cell, i) => (i < 4 ? cell.padStart(9) : cell.padEnd(8))).join(' '))
    .join('\n')
}
