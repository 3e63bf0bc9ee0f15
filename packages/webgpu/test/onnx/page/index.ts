/** What the page of the end-to-end test imports. */
export { generate } from './generate.ts'
export { drawOnOwnDevice, refusals } from './refusals.ts'
