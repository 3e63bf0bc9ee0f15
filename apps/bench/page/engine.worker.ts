/**
 * Entry of the worker.
 *
 * @module
 */
import { expose } from 'comlink'
import { ModelEngine } from './engine.ts'

expose(new ModelEngine())
