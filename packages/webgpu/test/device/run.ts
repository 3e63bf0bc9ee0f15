/**
 * Runs one suite in this process: `node run.mjs '{"suite":"checks"}'`. Prints a line of JSON for each result, and `{}`
 * at the end.
 */
import { runSuite, type SuiteOptions } from './suites.ts'

const options = JSON.parse(process.argv[2] ?? '{"suite":"checks"}') as SuiteOptions
await runSuite(options, (result) => console.log(JSON.stringify(result)))
console.log('{}')
// Dawn keeps threads.
process.exit(0)
