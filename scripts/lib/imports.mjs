import ts from 'typescript'

/**
 * One import, re-export or dynamic import of a file.
 *
 * @typedef {object} Import
 * @property {string} specifier - As written.
 * @property {number} line - 1-based.
 * @property {boolean} typeOnly - Erased by the compiler.
 * @property {boolean} dynamic - Evaluated only when the code that holds it runs.
 */

/**
 * Lists what a TypeScript or JavaScript file imports.
 *
 * @param {string} file - Name, for its extension.
 * @param {string} text - Source text.
 * @returns {Import[]} In source order.
 */
export function listImports(file, text) {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  /** @type {Import[]} */
  const imports = []

  /**
   * @param {ts.Node} literal
   * @param {boolean} typeOnly
   * @param {boolean} [dynamic]
   */
  const add = (literal, typeOnly, dynamic = false) => {
    if (!ts.isStringLiteralLike(literal)) return
    const line = source.getLineAndCharacterOfPosition(literal.getStart(source)).line + 1
    imports.push({ specifier: literal.text, line, typeOnly, dynamic })
  }

  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) {
      add(node.moduleSpecifier, importIsTypeOnly(node.importClause))
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      const clause = node.exportClause
      const named = clause !== undefined && ts.isNamedExports(clause) ? clause.elements : undefined
      add(node.moduleSpecifier, node.isTypeOnly || (named?.every((e) => e.isTypeOnly) ?? false))
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [specifier] = node.arguments
      if (specifier !== undefined) add(specifier, false, true)
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, true)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return imports
}

/** @param {ts.ImportClause | undefined} clause */
function importIsTypeOnly(clause) {
  if (clause === undefined) return false
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  const bindings = clause.namedBindings
  return (
    clause.name === undefined &&
    bindings !== undefined &&
    ts.isNamedImports(bindings) &&
    bindings.elements.length > 0 &&
    bindings.elements.every((element) => element.isTypeOnly)
  )
}
