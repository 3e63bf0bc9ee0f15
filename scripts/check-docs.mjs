/**
 * Holds the documentation of the published packages: every exported symbol and every public member has a TSDoc
 * sentence, functions describe their parameters, result and errors, and entry files describe the module.
 */
import { relative } from 'node:path'
import ts from 'typescript'
import { listEntries, openProgram } from './lib/compiler.mjs'
import { runCheck } from './lib/run-check.mjs'
import { listPublishedPackages, repositoryRoot } from './lib/workspace.mjs'

runCheck(import.meta.url, 'documentation comments', () => checkDocs(repositoryRoot))

/**
 * Checks every published package.
 *
 * @param {string} root - Root folder of the repository.
 * @returns {string[]} One line per violation.
 */
export function checkDocs(root) {
  return listPublishedPackages(root).flatMap((workspacePackage) => {
    const program = openProgram(workspacePackage)
    return listEntries(workspacePackage).flatMap((entry) => checkEntry(root, program, entry))
  })
}

/**
 * @param {string} root
 * @param {ts.Program} program
 * @param {string} entry
 */
function checkEntry(root, program, entry) {
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(entry)
  const module = source && checker.getSymbolAtLocation(source)
  if (source === undefined || module === undefined) {
    return [`${relative(root, entry)}: the file exports nothing`]
  }
  /** @type {string[]} */
  const problems = []
  if (!/^(#!.*\n)?\/\*\*[\s\S]*?@module[\s\S]*?\*\//.test(source.text)) {
    problems.push(
      `${relative(root, entry)}:1: the entry file does not begin with an @module comment`,
    )
  }
  for (const exported of checker.getExportsOfModule(module)) {
    const aliased = (exported.flags & ts.SymbolFlags.Alias) !== 0
    const symbol = aliased ? checker.getAliasedSymbol(exported) : exported
    for (const declaration of documentedDeclarations(symbol)) {
      if (isInternal(declaration)) {
        problems.push(`${place(root, declaration)}: ${exported.name} is exported but @internal`)
      }
      for (const problem of checkDeclaration(checker, declaration)) {
        problems.push(`${place(root, problem.node)}: ${exported.name}${problem.text}`)
      }
    }
  }
  return problems
}

/**
 * The declarations that must carry the documentation: an overloaded function's signatures, not its body.
 *
 * @param {ts.Symbol} symbol
 */
function documentedDeclarations(symbol) {
  const declarations = symbol.declarations ?? []
  const signatures = declarations.filter((d) => ts.isFunctionDeclaration(d) && d.body === undefined)
  return signatures.length > 0 ? signatures : declarations
}

/** @typedef {{ node: ts.Node, text: string }} Problem */

/**
 * @param {ts.TypeChecker} checker
 * @param {ts.Declaration} declaration
 * @returns {Problem[]}
 */
function checkDeclaration(checker, declaration) {
  const problems = checkSentence(declaration)
  const callable = callableOf(declaration)
  if (callable !== undefined) problems.push(...checkCallable(checker, callable, declaration))
  for (const member of publicMembers(declaration)) {
    const name = ts.isConstructorDeclaration(member)
      ? 'constructor'
      : (member.name?.getText() ?? '')
    const memberProblems = ts.isConstructorDeclaration(member)
      ? checkCallable(checker, member, member)
      : checkDeclaration(checker, member)
    problems.push(...memberProblems.map(({ node, text }) => ({ node, text: `.${name}${text}` })))
  }
  return problems
}

/**
 * @param {ts.Declaration} node
 * @returns {Problem[]}
 */
function checkSentence(node) {
  /** @type {Problem[]} */
  const problems = []
  const text = commentText(node)
  const isMethod = ts.isMethodSignature(node) || ts.isMethodDeclaration(node)
  // A method may be described by its result alone.
  if (isMethod && text === '' && ts.getJSDocReturnTag(node) !== undefined) return []
  if (text === '') problems.push({ node, text: ' has no TSDoc comment' })
  else if (!/[.:?)`|]\s*$/.test(text.split('\n\n')[0] ?? '')) {
    problems.push({ node, text: ' has a TSDoc comment that does not end as a sentence' })
  }
  return problems
}

/**
 * Checks `@param`, `@returns` and `@throws` of a function.
 *
 * @param {ts.TypeChecker} checker
 * @param {ts.SignatureDeclaration} callable
 * @param {ts.Declaration} documented - Node that carries the comment.
 * @returns {Problem[]}
 */
function checkCallable(checker, callable, documented) {
  const tags = ts.getJSDocTags(documented)
  /** @type {Problem[]} */
  const problems = []
  const described = new Set(
    tags
      .filter(ts.isJSDocParameterTag)
      .filter((tag) => tagText(tag) !== '')
      .map((tag) => tag.name.getText()),
  )
  for (const parameter of callable.parameters) {
    const name = parameter.name.getText()
    if (ts.isIdentifier(parameter.name) && !described.has(name)) {
      problems.push({ node: documented, text: ` has no @param ${name}` })
    }
  }
  for (const name of described) {
    if (!callable.parameters.some((parameter) => parameter.name.getText() === name)) {
      problems.push({ node: documented, text: ` has a @param ${name} that is no parameter` })
    }
  }
  if (returnsValue(checker, callable) && !tags.some((t) => ts.isJSDocReturnTag(t) && tagText(t))) {
    problems.push({ node: documented, text: ' has no @returns' })
  }
  if (throwsItself(callable) && !tags.some((tag) => ts.isJSDocThrowsTag(tag))) {
    problems.push({ node: documented, text: ' throws but has no @throws' })
  }
  return problems
}

/**
 * @param {ts.TypeChecker} checker
 * @param {ts.SignatureDeclaration} callable
 */
function returnsValue(checker, callable) {
  if (ts.isConstructorDeclaration(callable) || ts.isSetAccessor(callable)) return false
  const signature = checker.getSignatureFromDeclaration(callable)
  if (signature === undefined) return false
  const result = checker.typeToString(signature.getReturnType())
  return !['void', 'never', 'Promise<void>', 'PromiseLike<void>'].includes(result)
}

/**
 * Whether the body, without the functions inside it, holds a `throw`.
 *
 * @param {ts.SignatureDeclaration} callable
 */
function throwsItself(callable) {
  const body = 'body' in callable ? callable.body : undefined
  if (body === undefined) return false
  /** @param {ts.Node} node @returns {boolean} */
  const holdsThrow = (node) =>
    ts.isThrowStatement(node) ||
    (!ts.isFunctionLike(node) && (ts.forEachChild(node, holdsThrow) ?? false))
  return holdsThrow(body)
}

/**
 * @param {ts.Declaration} declaration
 * @returns {ts.SignatureDeclaration | undefined}
 */
function callableOf(declaration) {
  if (ts.isGetAccessor(declaration) || ts.isSetAccessor(declaration)) return undefined
  if (ts.isFunctionLike(declaration)) return declaration
  if (ts.isVariableDeclaration(declaration) || ts.isPropertyDeclaration(declaration)) {
    const value = declaration.initializer
    if (value !== undefined && ts.isFunctionLike(value)) return value
  }
  if (ts.isPropertySignature(declaration) && declaration.type !== undefined) {
    if (ts.isFunctionTypeNode(declaration.type)) return declaration.type
  }
  return undefined
}

/**
 * @param {ts.Declaration} declaration
 * @returns {(ts.ClassElement | ts.TypeElement)[]}
 */
function publicMembers(declaration) {
  return allMembers(declaration).filter((member) => {
    if (isInternal(member)) return false
    const flags = ts.getCombinedModifierFlags(member)
    const hidden = (flags & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) !== 0
    const named = member.name === undefined || !ts.isPrivateIdentifier(member.name)
    // Overriding members inherit the documentation of what they override.
    const inherits = (flags & ts.ModifierFlags.Override) !== 0
    return !hidden && named && !inherits && !ts.isClassStaticBlockDeclaration(member)
  })
}

/**
 * @param {ts.Declaration} declaration
 * @returns {(ts.ClassElement | ts.TypeElement)[]}
 */
function allMembers(declaration) {
  if (ts.isInterfaceDeclaration(declaration)) return [...declaration.members]
  if (ts.isTypeAliasDeclaration(declaration)) return membersOfType(declaration.type)
  return ts.isClassDeclaration(declaration) ? [...declaration.members] : []
}

/** @param {ts.Node} node */
function isInternal(node) {
  return ts.getJSDocTags(node).some((tag) => tag.tagName.text === 'internal')
}

/**
 * @param {ts.TypeNode} type
 * @returns {ts.TypeElement[]}
 */
function membersOfType(type) {
  if (ts.isTypeLiteralNode(type)) return [...type.members]
  return ts.isIntersectionTypeNode(type) ? type.types.flatMap(membersOfType) : []
}

/**
 * Text of the comment above a declaration, before its tags.
 *
 * @param {ts.Node} node
 */
function commentText(node) {
  return ts
    .getJSDocCommentsAndTags(node)
    .filter(ts.isJSDoc)
    .map((comment) => ts.getTextOfJSDocComment(comment.comment) ?? '')
    .join('\n')
    .trim()
}

/** @param {ts.JSDocTag} tag */
function tagText(tag) {
  return (ts.getTextOfJSDocComment(tag.comment) ?? '').replace(/^[-\s]+/, '')
}

/**
 * @param {string} root
 * @param {ts.Node} node
 */
function place(root, node) {
  const source = node.getSourceFile()
  const { line } = source.getLineAndCharacterOfPosition(node.getStart())
  return `${relative(root, source.fileName)}:${line + 1}`
}
