/**
 * Makes WGSL short: no comments and spare white space, short names for what the shaders declare themselves.
 *
 * A name stands for the same thing wherever it occurs, so that parts that are composed later go on fitting together: one
 * table of names for all files, from each name to one that occurs nowhere else. Names that a shader uses but does not
 * declare are the language's or the host's, and stay. Every function and declaration has a line of its own, which
 * messages of compilers name, and so have `#for` and `#end`.
 */

/** Words of WGSL that may also be names of our own, as their place tells them apart; such names stay. */
const CONTEXTUAL = new Set([
  ...['function', 'private', 'workgroup', 'uniform', 'storage', 'read', 'write', 'read_write'],
  ...['align', 'binding', 'builtin', 'compute', 'const', 'group', 'id', 'size', 'workgroup_size'],
  ...['global_invocation_id', 'local_invocation_id', 'local_invocation_index', 'num_workgroups'],
  ...['subgroup_invocation_id', 'subgroup_size', 'workgroup_id'],
])

/** The entry point, which the host names. */
const ENTRY = 'main'

/** Words of two letters that WGSL keeps for itself. */
const RESERVED = new Set(['as', 'do', 'fn', 'if', 'of'])

/** Names may hold `$x`, for which the host puts a number: `sum_$t_$r`. A number may follow `$x`: `$tu`. */
const TOKEN =
  /\$\w+|[A-Za-z_]\w*(?:\$[a-z]\w*)*|0[xX][0-9a-fA-F]+[iu]?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fhiu]?|\n|\s+|[^\s\w]/g
const IS_NAME = /^[A-Za-z_]/
const DIRECTIVE = /^#(?:for \w+ [\w$]+|end)$/

/**
 * Strips comments, indentation, empty lines, spaces beside punctuation and commas before closing brackets, and takes the
 * short names of vector types; a sign keeps its distance from another.
 *
 * @param {string} source
 * @returns {string}
 */
export function stripWgsl(source) {
  const lines = source
    .replace(/\/\/.*$/gm, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  /** @type {string[]} */
  const joined = []
  let depth = 0
  let isOpen = false
  for (const line of lines) {
    const isDirective = line.startsWith('#')
    if (isDirective || !isOpen) joined.push(isDirective ? line : stripLine(line))
    else joined.push(stripLine(`${joined.pop()} ${line}`))
    for (const bracket of line.match(/[(){}]/g) ?? []) depth += /[({]/.test(bracket) ? 1 : -1
    const isAttribute = line.startsWith('@') && line.endsWith(')')
    isOpen = !isDirective && (depth > 0 || isAttribute)
  }
  return joined.join('\n').replace(/,([)}\]])/g, '$1')
}

/** @param {string} line */
function stripLine(line) {
  return line
    .replace(/ ?([{}()[\];,:=*/<>&|^%!?]) ?/g, '$1')
    .replace(/(?<![+-]) (?=[+-])|(?<=[+-]) (?![+-])/g, '')
    .replace(/\bvec([234])<([fiu])32>/g, 'vec$1$2')
}

/**
 * Chooses short names, the shortest for what occurs most often.
 *
 * @param {readonly string[]} sources - All shaders, stripped.
 * @returns {Map<string, string>} From each name that may change to the new one; of a name with `$x` the part before it.
 */
export function chooseNames(sources) {
  /** @type {Map<string, number>} */
  const counts = new Map()
  /** @type {Set<string>} */
  const declared = new Set()
  for (const source of sources) {
    const tokens = tokensOf(source).filter((token) => token.trim() !== '')
    tokens.forEach((token, at) => {
      if (!IS_NAME.test(token)) return
      const name = stemOf(token)
      counts.set(name, (counts.get(name) ?? 0) + 1)
      if (isDeclaration(tokens, at)) declared.add(name)
    })
  }
  const changing = [...declared].filter((name) => !CONTEXTUAL.has(name) && !isComponents(name))
  changing.splice(0, changing.length, ...changing.filter((name) => name !== ENTRY))
  const taken = new Set([...counts.keys()].filter((name) => !changing.includes(name)))
  const shortNames = makeNames()
  /** @type {Map<string, string>} */
  const names = new Map()
  for (const name of changing.sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0))) {
    let short = ''
    do short = shortNames.next().value ?? ''
    while (taken.has(short) || RESERVED.has(short))
    // The host appends digits to a stem; no other name has an underscore.
    names.set(name, name.endsWith('_') ? `${short}_` : short)
  }
  return names
}

/**
 * Replaces names.
 *
 * @param {string} source - Stripped.
 * @param {ReadonlyMap<string, string>} names
 * @returns {string}
 */
export function renameWgsl(source, names) {
  return tokensOf(source)
    .map((token) => {
      const stem = stemOf(token)
      return `${names.get(stem) ?? stem}${token.slice(stem.length)}`
    })
    .join('')
}

/**
 * Names of one letter, then of two. The letters come in the order in which minified JavaScript uses them most, as that is
 * what a compressor sees beside them.
 *
 * @returns {Generator<string, undefined>}
 */
function* makeNames() {
  const small = [...'etnrioaslcdfhumpgvbykwjqxz']
  const letters = [...small, ...'CDEFGHIJKLMNOPQRSTUVWXYZAB']
  yield* letters
  for (const first of letters) yield* small.map((second) => `${first}${second}`)
  return undefined
}

/**
 * Tokens and the white space between them; a directive is one token.
 *
 * @param {string} source
 * @returns {string[]}
 */
function tokensOf(source) {
  return source.split('\n').flatMap((line, index) => {
    const before = index === 0 ? [] : ['\n']
    if (line.startsWith('#')) {
      if (!DIRECTIVE.test(line)) throw new Error(`Cannot read the directive ${line}`)
      return [...before, line]
    }
    const tokens = line.match(TOKEN) ?? []
    if (tokens.join('') !== line) throw new Error(`Cannot read the line ${line}`)
    return [...before, ...tokens]
  })
}

/**
 * The part of a token before `$`.
 *
 * @param {string} token
 */
function stemOf(token) {
  const [stem = ''] = token.split('$')
  return stem
}

/**
 * Whether a name is declared here: behind a keyword, or before a colon, as parameters and members are.
 *
 * @param {readonly string[]} tokens
 * @param {number} at
 */
function isDeclaration(tokens, at) {
  if (tokens[at + 1] === ':') return true
  const before = tokens[at - 1] ?? ''
  if (['alias', 'const', 'fn', 'let', 'override', 'struct', 'var'].includes(before)) return true
  if (before !== '>') return false
  const start = tokens.lastIndexOf('<', at)
  return tokens[start - 1] === 'var' && tokens.slice(start, at - 1).indexOf('>') === -1
}

/** Whether a name may be one of components of a vector, which are not told from members. @param {string} name */
function isComponents(name) {
  return /^(?:[xyzw]{1,4}|[rgba]{1,4})$/.test(name)
}
