/**
 * Draws by rank: the kernels that decide filters, what they report, and exact further passes. Loaded where it is wanted,
 * see `../load-ranking.ts`.
 *
 * @module
 */
export { finishPass } from './finish-pass.ts'
export { prepareLists } from './list-stage.ts'
export { addRawTasks } from './raw-tasks.ts'
