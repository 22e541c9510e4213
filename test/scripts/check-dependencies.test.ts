import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { createGunzip } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../harness/databases.ts'

const script = fileURLToPath(new URL('../../scripts/check-dependencies.ts', import.meta.url))

interface Checked {
  readonly code: number
  readonly said: string
  /** The packages that the registry was asked about, each with its versions. */
  readonly asked: Readonly<Record<string, readonly string[]>>
}

/** Runs the check against a registry that answers so when it is asked for weaknesses. */
async function check(answer: (reply: ServerResponse) => void, ...args: string[]): Promise<Checked> {
  const asked: Record<string, string[]> = {}
  const registry = createServer(async (request, reply) => {
    const isZipped = request.headers['content-encoding'] === 'gzip'
    const body = await text(isZipped ? request.pipe(createGunzip()) : request)
    if (request.url !== '/-/npm/v1/security/advisories/bulk') return void reply.writeHead(404).end('{}')
    Object.assign(asked, JSON.parse(body))
    answer(reply)
  }).listen(0, '127.0.0.1')
  await once(registry, 'listening')
  onTestFinished(() => {
    registry.closeAllConnections()
    registry.close()
  })
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: await temporaryFolder(),
    npm_config_registry: `http://127.0.0.1:${(registry.address() as AddressInfo).port}/`,
    npm_config_fetch_retries: '0',
  }
  return new Promise(resolve => {
    execFile(process.execPath, [script, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), said: stdout + stderr, asked }),
    )
  })
}

const json = (value: unknown) => (reply: ServerResponse) =>
  void reply.setHeader('content-type', 'application/json').end(JSON.stringify(value))

const weakness = (name: string, severity: string) => ({
  [name]: [
    {
      id: 1,
      url: 'https://advisories.example/1',
      title: 'It lets anybody in',
      severity,
      vulnerable_versions: '>=0',
      cwe: [],
      cvss: { score: 9, vectorString: null },
    },
  ],
})

test('a registry that knows of nothing is asked about all that runs, and is believed', async () => {
  const { code, said, asked } = await check(json({}))
  expect({ code, said }).toEqual({ code: 0, said: 'Audited: no known weakness.\n' })
  expect(asked['fastify']?.[0]).toMatch(/^\d+\./)
  // What only tests use is nobody's risk who runs Stele.
  expect(asked['vitest']).toBeUndefined()
})

test.each([
  ['high', 1],
  ['moderate', 0],
])('a weakness that is %s is named, and ends the check with %d', async (severity, expected) => {
  const { code, said } = await check(json(weakness('pino', severity)))
  expect(said).toContain(`pino (${severity}): It lets anybody in https://advisories.example/1`)
  expect(code, said).toBe(expected)
})

test.each<[string, (reply: ServerResponse) => void]>([
  ['refuses', reply => void reply.writeHead(405).end()],
  ['fails', reply => void reply.writeHead(500).end('{}')],
  ['answers something else', reply => void reply.end('<html>')],
  ['hangs up', reply => void reply.destroy()],
])('a registry that %s is told of, and taken for no good answer', async (_, answer) => {
  const { code, said } = await check(answer)
  expect({ code, said }).toEqual({ code: 0, said: expect.stringMatching(/^Not audited: .+\.\n$/) })
  expect(said).not.toContain('no known weakness')
})

test('where it must be audited, no answer is a failure', async () => {
  const { code, said } = await check(reply => void reply.writeHead(405).end(), '--require-audit')
  expect(code).toBe(1)
  expect(said).toContain('Not audited')
})
