/** Holds the relative links of the Markdown files: each leads to a file or folder, and to a heading where it names one. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { runCheck } from './lib/run-check.mjs'
import { listFiles, repositoryRoot } from './lib/workspace.mjs'

runCheck(import.meta.url, 'links', () => checkLinks(repositoryRoot))

/**
 * Checks every Markdown file but the changelogs.
 *
 * @param {string} root - Root folder of the repository.
 * @returns {string[]} One line per link that leads nowhere.
 */
export function checkLinks(root) {
  return listFiles(root)
    .filter((file) => file.endsWith('.md') && !file.startsWith(join(root, 'docs/api')))
    .flatMap((file) =>
      findLinks(readFileSync(file, 'utf8'))
        .filter(({ target }) => !leadsSomewhere(file, target))
        .map(({ target, line }) => `${relative(root, file)}:${line}: ${target} leads nowhere`),
    )
}

/**
 * @param {string} markdown
 * @returns {{ target: string, line: number }[]} Links that name no host.
 */
function findLinks(markdown) {
  let inCode = false
  return markdown.split('\n').flatMap((text, index) => {
    if (text.startsWith('```')) inCode = !inCode
    if (inCode) return []
    return [...text.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => ({ target: match[1] ?? '', line: index + 1 }))
      .filter(({ target }) => !/^[a-z]+:/i.test(target))
  })
}

/**
 * @param {string} file - File that holds the link.
 * @param {string} target
 */
function leadsSomewhere(file, target) {
  const [path = '', heading] = target.split('#')
  const destination = path === '' ? file : resolve(dirname(file), path)
  if (!existsSync(destination)) return false
  if (heading === undefined || !statSync(destination).isFile()) return true
  return headingsOf(readFileSync(destination, 'utf8')).includes(heading)
}

/** @param {string} markdown */
function headingsOf(markdown) {
  return markdown
    .split('\n')
    .filter((line) => /^#+ /.test(line))
    .map((line) => line.replace(/^#+ /, '').trim().toLowerCase())
    .map((text) => text.replace(/[^\p{Letter}\p{Number}\- _]/gu, '').replaceAll(' ', '-'))
}
