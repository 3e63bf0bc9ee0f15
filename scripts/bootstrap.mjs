/**
 * One-command entry points that need nothing but Node and npm: `npm run demo`, `npm run page`, `npm test`,
 * `npm run setup:dev`, `npm run ok` and `npm run release:rehearse`. Checks the Node version before anything newer is
 * parsed.
 */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 20 || (major === 20 && minor < 19) || major === 21 || (major === 22 && minor < 12)) {
  console.error(
    `Cannot start as Node must be >= 20.19 (or >= 22.12): current version is ${process.versions.node}\n` +
      'Install a current Node release, then run the same command again.',
  )
  process.exitCode = 1
} else {
  const { main } = await import('./bootstrap/commands.mjs')
  process.exitCode = await main(process.argv.slice(2))
}
