import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { type PageServer, startPageServer } from './page-server.ts'

const temporary = useTemporaryDirectory()

/** Serves a page of one file and a model of 3 bytes while `use` runs. */
async function serve(
  modelPath: string | null,
  use: (server: PageServer) => Promise<void>,
): Promise<void> {
  const pageDirectory = temporary.directory()
  await mkdir(pageDirectory)
  await writeFile(join(pageDirectory, 'index.html'), '<!doctype html><title>page</title>')
  const server = await startPageServer({ pageDirectory, modelPath, port: 0 })
  try {
    await use(server)
  } finally {
    await server.close()
  }
}

async function modelFile(): Promise<string> {
  const path = temporary.file('model.gguf')
  await writeFile(path, Uint8Array.of(1, 2, 3))
  return path
}

describe('startPageServer()', () => {
  it('serves page and model, cross-origin isolated', async () => {
    const modelPath = await modelFile()
    await serve(modelPath, async ({ url }) => {
      const page = await fetch(url)
      expect(await page.text()).toContain('<title>page</title>')
      const info = await fetch(new URL('model.json', url))
      expect(await info.json()).toEqual({ name: modelPath.split('/').at(-1), byteLength: 3 })
      const model = await fetch(new URL('model.gguf', url))
      expect(new Uint8Array(await model.arrayBuffer())).toEqual(Uint8Array.of(1, 2, 3))
      expect(model.headers.get('content-length')).toBe('3')
      const head = await fetch(new URL('model.gguf', url), { method: 'HEAD' })
      expect([head.headers.get('content-length'), await head.text()]).toEqual(['3', ''])
      for (const { headers } of [page, info, model]) {
        expect(headers.get('cross-origin-opener-policy')).toBe('same-origin')
        expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp')
      }
    })
  })

  it('offers no model where there is none, and nothing beside page and model', async () => {
    await serve(null, async ({ url }) => {
      expect(await (await fetch(new URL('model.json', url))).json()).toBeNull()
      for (const path of [
        'model.gguf',
        'package.json',
        '%2e%2e/package.json',
        '..%2fpackage.json',
      ]) {
        expect((await fetch(url + path)).status, path).toBe(404)
      }
    })
  })

  it('lives on after a request that makes no sense', async () => {
    await serve(null, async ({ url }) => {
      const { port } = new URL(url)
      const socket = connect(Number(port), '127.0.0.1')
      socket.write('GET // HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      let answer = ''
      for await (const chunk of socket) answer += chunk
      expect(answer).toMatch(/^HTTP\/1\.1 \d/)
      expect((await fetch(url)).status).toBe(200)
    })
  })

  it('names a model that is not there, and one that is no file', async () => {
    const use = async (): Promise<void> => {}
    await expect(serve(temporary.file('nothing.gguf'), use)).rejects.toThrow(
      /Cannot serve the model .*nothing\.gguf as there is no such file/,
    )
    await expect(serve(temporary.path, use)).rejects.toThrow(/as it is no file: name a \.gguf file/)
  })

  it('names a port that is in use', async () => {
    await serve(null, async ({ url }) => {
      const port = Number(new URL(url).port)
      const second = startPageServer({ pageDirectory: temporary.path, modelPath: null, port })
      await expect(second).rejects.toThrow(
        new RegExp(`on port ${port} as it is in use: pass another --port`),
      )
    })
  })
})
