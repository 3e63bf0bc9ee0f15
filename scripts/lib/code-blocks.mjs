/**
 * One example of the documentation.
 *
 * @typedef {object} CodeBlock
 * @property {string} file - Absolute path of the file that holds it.
 * @property {number} line - 1-based line of its first code line.
 * @property {string} code
 */

/**
 * Finds the ```` ```ts ```` blocks of a Markdown file or of the comments of a source file. A block that opens with
 * ```` ```ts ignore ```` is left out.
 *
 * @param {string} file - Absolute path.
 * @param {string} text - Content of the file.
 * @returns {CodeBlock[]} In order.
 */
export function findCodeBlocks(file, text) {
  /** @type {CodeBlock[]} */
  const blocks = []
  /** @type {{ line: number, indent: string, lines: string[], kept: boolean } | undefined} */
  let open
  for (const [index, line] of text.split('\n').entries()) {
    const fence = /^(?<indent>\s*(?:\* ?)?)```(?<language>.*)$/.exec(line)
    if (open === undefined) {
      const language = fence?.groups?.language?.trim()
      if (language === undefined) continue
      const indent = fence?.groups?.indent ?? ''
      open = { line: index + 2, indent, lines: [], kept: language === 'ts' }
    } else if (fence !== null) {
      if (open.kept) blocks.push({ file, line: open.line, code: open.lines.join('\n') })
      open = undefined
    } else {
      open.lines.push(
        line.startsWith(open.indent)
          ? line.slice(open.indent.length)
          : line.trim().replace(/^\*$/, ''),
      )
    }
  }
  return blocks
}
