import ts from 'typescript'

const EXPECT_VALUE = new URL('expect-value.mjs', import.meta.url).href

/**
 * Adds the import of the package's names that an example uses without importing them.
 *
 * @param {string} code - The example.
 * @param {string} packageName - Where the names come from.
 * @param {ReadonlySet<string>} exported - Names that the package exports.
 * @returns {string} A complete module.
 */
export function importUsedNames(code, packageName, exported) {
  const source = parse(code)
  /** @type {Set<string>} */
  const used = new Set()
  /** @type {Set<string>} */
  const declared = new Set()
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isIdentifier(node)) {
      const { parent } = node
      const declares =
        (ts.isVariableDeclaration(parent) ||
          ts.isFunctionDeclaration(parent) ||
          ts.isBindingElement(parent) ||
          ts.isImportSpecifier(parent) ||
          ts.isParameter(parent)) &&
        parent.name === node
      const member = ts.isPropertyAccessExpression(parent) && parent.name === node
      const key = ts.isPropertyAssignment(parent) && parent.name === node
      if (declares) declared.add(node.text)
      else if (!member && !key) used.add(node.text)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  const names = [...used].filter((name) => exported.has(name) && !declared.has(name)).sort()
  const header = names.length > 0 ? `import { ${names.join(', ')} } from '${packageName}'\n` : ''
  return `${header}${code}\nexport {}\n`
}

/**
 * Turns an example into JavaScript that fails where a value differs from its `// =>` comment.
 *
 * @param {string} code - A complete TypeScript module.
 * @returns {string} JavaScript module.
 * @throws {SyntaxError} when a `// =>` follows no statement of the top level that has a value.
 */
export function compileExample(code) {
  const source = parse(code)
  let result = ''
  let position = 0
  let unseen = code.match(/\/\/ => /g)?.length ?? 0
  for (const statement of source.statements) {
    const expected = expectationAfter(code, statement)
    if (expected === undefined) continue
    unseen--
    result += code.slice(position, statement.getStart())
    position = statement.end
    const wanted = `() => (${asExpression(expected)}), ${JSON.stringify(expected)}`
    const text = statement.getText()
    if (ts.isExpressionStatement(statement)) {
      result += `__expectValue(${statement.expression.getText()}, ${wanted});`
    } else if (ts.isVariableStatement(statement)) {
      const name = statement.declarationList.declarations.at(-1)?.name.getText()
      result += `${text}; __expectValue(${name}, ${wanted});`
    } else {
      throw new SyntaxError(`"// => ${expected}" follows a statement without a value: ${text}`)
    }
  }
  if (unseen > 0)
    throw new SyntaxError(`"// =>" must follow a statement of the top level:\n${code}`)
  result += code.slice(position)
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }
  const { outputText } = ts.transpileModule(result, { compilerOptions: options })
  return `import { expectValue as __expectValue } from '${EXPECT_VALUE}'\n${outputText}`
}

/**
 * @param {string} code
 * @param {ts.Statement} statement
 */
function expectationAfter(code, statement) {
  for (const range of ts.getTrailingCommentRanges(code, statement.end) ?? []) {
    const match = /^\/\/ => (?<expected>.*)$/.exec(code.slice(range.pos, range.end))
    if (match !== null) return match.groups?.expected?.trim()
  }
  return undefined
}

/**
 * Lets a typed array be written as the console prints it: `Uint32Array [1, 2]`.
 *
 * @param {string} expected
 */
function asExpression(expected) {
  return expected.replace(/\b(\w+Array)(?:\(\d+\))? (\[[^\]]*\])/g, '$1.from($2)')
}

/** @param {string} code */
function parse(code) {
  return ts.createSourceFile('example.ts', code, ts.ScriptTarget.Latest, true)
}
