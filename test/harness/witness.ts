import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { openCheckpoint } from '../../src/audit/checkpoint.ts'
import { verifyConsistency } from '../../src/audit/merkle.ts'
import { formatVkey, keyIdOf, noteAlgorithms, parseVkey } from '../../src/audit/note-keys.ts'

/** A request as it came. */
export interface Received {
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** What answers a request. */
export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** A server for one test that answers as it is told. */
export async function startServer(
  answer: (request: Received) => Reply,
): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const { url = '', headers } = request
    const one = { path: url, headers, body: Buffer.concat(parts).toString('utf8') }
    received.push(one)
    const { status, headers: told = {}, body = '' } = answer(one)
    response.writeHead(status, told).end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received }
}

export interface TestWitness {
  readonly url: string
  readonly vkey: string
  /** What it has seen of the log. */
  readonly seen: { size: number; root: Buffer }
  readonly received: Received[]
  /** The log's key; it must be told before it is asked. */
  trust(vkey: string): void
}

/** A witness as C2SP tlog-witness has it, which keeps watch over one log. */
export async function startWitness(): Promise<TestWitness> {
  const { privateKey } = generateKeyPairSync('ed25519')
  const name = 'witness.example/w1'
  const seen = { size: 0, root: Buffer.alloc(0) }
  const trusted: string[] = []
  const cosignature = (text: string): string => {
    const time = Buffer.alloc(8)
    time.writeBigUInt64BE(1_795_000_000n)
    const signature = sign(null, Buffer.from(`cosignature/v1\ntime 1795000000\n${text}`), privateKey)
    const id = keyIdOf(name, createPublicKey(privateKey), noteAlgorithms.cosignature)
    return `— ${name} ${Buffer.concat([Buffer.from(id, 'hex'), time, signature]).toString('base64')}\n`
  }
  const { url, received } = await startServer(({ path, body }) => {
    if (path !== '/w/add-checkpoint') return { status: 404 }
    const end = body.indexOf('\n\n')
    const [first = '', ...proof] = body.slice(0, end).split('\n')
    const note = body.slice(end + 2)
    const old = Number(/^old (\d+)$/.exec(first)?.[1])
    const checkpoint = openCheckpoint(note, trusted.map(parseVkey))
    if (!Number.isSafeInteger(old) || old > checkpoint.size) return { status: 400 }
    if (old !== seen.size)
      return { status: 409, headers: { 'content-type': 'text/x.tlog.size' }, body: `${seen.size}\n` }
    if (old === checkpoint.size && !seen.root.equals(checkpoint.root)) return { status: 409 }
    const isConsistent =
      old === 0
        ? proof.length === 0
        : verifyConsistency({
            from: old,
            to: checkpoint.size,
            fromRoot: seen.root,
            toRoot: checkpoint.root,
            proof: proof.map(hash => Buffer.from(hash, 'base64')),
          })
    if (!isConsistent) return { status: 422 }
    Object.assign(seen, { size: checkpoint.size, root: checkpoint.root })
    return { status: 200, body: cosignature(note.slice(0, note.indexOf('\n\n') + 1)) }
  })
  const vkey = formatVkey(name, createPublicKey(privateKey), noteAlgorithms.cosignature)
  return { url: `${url}/w`, vkey, seen, received, trust: key => void trusted.push(key) }
}
