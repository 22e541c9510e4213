import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { connect, type SecureVersion, type TLSSocket } from 'node:tls'
import { Agent, request } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import { type MadeCertificate, makeCertificate } from '../harness/certificate.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { serveProcess } from './serve-process.ts'
import { questionOf } from './wire.ts'

const apiKey = 'sk-test-0123456789abcdef'

interface Files {
  readonly folder: string
  readonly cert: string
  readonly key: string
}

async function filesOf({ cert, key }: MadeCertificate, mode = 0o600): Promise<Files> {
  const folder = await temporaryFolder()
  const files = { folder, cert: join(folder, 'server.crt'), key: join(folder, 'server.key') }
  writeFileSync(files.cert, cert)
  writeFileSync(files.key, key, { mode })
  return files
}

const serveTls = ({ folder, cert, key }: Files, ...args: string[]): Promise<GatewayProcess> =>
  serveProcess({
    cwd: folder,
    args: ['--tls-cert', cert, '--tls-key', key, ...args],
    env: { STELE_API_KEY: apiKey },
  })

/** One exchange on a connection of its own that trusts this certificate alone. */
async function ask(address: string, { cert }: MadeCertificate, path = '/v1/chat/completions') {
  const agent = new Agent({ connect: { ca: cert } })
  try {
    const response = await request(address + path, {
      dispatcher: agent,
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...questionOf('Hello over TLS'), model: 'echo' }),
    })
    return { status: response.statusCode, headers: response.headers, text: await response.body.text() }
  } finally {
    await agent.destroy()
  }
}

async function handshake(
  address: string,
  options: { maxVersion?: SecureVersion; minVersion?: SecureVersion },
): Promise<TLSSocket> {
  const { hostname, port } = new URL(address)
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false, ...options })
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

/** Whose certificate new connections get. */
async function servedName(address: string): Promise<string | undefined> {
  const socket = await handshake(address, {})
  const { CN } = socket.getPeerCertificate().subject
  socket.destroy()
  return typeof CN === 'string' ? CN : undefined
}

test('flags give HTTPS, of TLS 1.2 or newer; what speaks something else is let go', async () => {
  const made = makeCertificate('first')
  const gateway = await serveTls(await filesOf(made))
  const address = await gateway.address
  expect(address).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
  const reply = await ask(address, made)
  expect(reply.status).toBe(200)
  expect(reply.text).toContain('Hello over TLS')
  expect(reply.headers).toMatchObject({ 'x-content-type-options': 'nosniff' })
  // Browsers would keep it for every program on this machine.
  expect(reply.headers['strict-transport-security']).toBeUndefined()
  expect((await handshake(address, {})).getProtocol()).toBe('TLSv1.3')
  expect((await handshake(address, { maxVersion: 'TLSv1.2' })).getProtocol()).toBe('TLSv1.2')
  await expect(handshake(address, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).rejects.toThrow()
  const { hostname, port } = new URL(address)
  for (const bytes of ['GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n', '\x16\x03\x01\x00\x05hello']) {
    const plain = connectPlain(Number(port), hostname)
    plain.on('error', () => undefined)
    plain.write(bytes)
    plain.resume()
    await once(plain, 'close')
  }
  expect((await ask(address, made)).status).toBe(200)
  expect(gateway.stderr()).not.toContain(apiKey)
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
})

test('at SIGHUP new connections get the new certificate, open ones go on, and a wrong one changes nothing', async () => {
  const files = await filesOf(makeCertificate('first'))
  const gateway = await serveTls(files)
  const address = await gateway.address
  const open = await handshake(address, {})
  expect(await servedName(address)).toBe('first')
  const second = makeCertificate('second')
  writeFileSync(files.cert, second.cert)
  gateway.kill('SIGHUP')
  await expect.poll(gateway.stderr).toContain('the TLS certificate stays as it was')
  expect(await servedName(address)).toBe('first')
  writeFileSync(files.key, second.key)
  gateway.kill('SIGHUP')
  await expect.poll(() => servedName(address)).toBe('second')
  expect((await ask(address, second)).status).toBe(200)
  open.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
  expect(String((await once(open, 'data'))[0])).toContain('HTTP/1.1 200')
  expect(gateway.stderr()).not.toContain('PRIVATE KEY')
})

test('every worker serves with the certificate, and with the new one after SIGHUP', {
  timeout: 60_000,
}, async () => {
  const files = await filesOf(makeCertificate('first'))
  const gateway = await serveTls(files, '--workers', '2')
  const address = await gateway.address
  expect(address).toMatch(/^https:/)
  await expect.poll(() => gateway.stderr().match(/Server listening/g)?.length, { timeout: 30_000 }).toBe(2)
  const second = makeCertificate('second')
  writeFileSync(files.cert, second.cert)
  writeFileSync(files.key, second.key)
  gateway.kill('SIGHUP')
  await expect.poll(() => gateway.stderr().match(/read again/g)?.length).toBe(2)
  // Dealt out in turn: each worker gets some.
  for (let round = 0; round < 4; round++) expect(await servedName(address)).toBe('second')
  expect((await ask(address, second)).status).toBe(200)
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
})

test('a key with a passphrase is opened by the file that holds it', async () => {
  const made = makeCertificate('locked', { passphrase: 'my-sekret-phrase' })
  const files = await filesOf(made)
  const passphrase = join(files.folder, 'phrase')
  writeFileSync(passphrase, 'my-sekret-phrase\n', { mode: 0o600 })
  const gateway = await serveTls(files, '--tls-passphrase-file', passphrase)
  expect((await ask(await gateway.address, made)).status).toBe(200)
  writeFileSync(passphrase, 'another-sekret\n')
  const wrong = await serveTls(files, '--tls-passphrase-file', passphrase)
  expect((await wrong.ended).code).toBe(1)
  expect(wrong.stderr()).toContain('tlsCert, tlsKey')
  expect(wrong.stderr()).not.toContain('sekret')
})

test.each<[string, (files: Files) => string[], string]>([
  [
    'a key that is not there',
    ({ cert }) => ['--tls-cert', cert, '--tls-key', 'none.key'],
    'none.key cannot be read (ENOENT)',
  ],
  ['a certificate alone', ({ cert }) => ['--tls-cert', cert], 'both or neither'],
  ['a certificate that is none', ({ key }) => ['--tls-cert', key, '--tls-key', key], 'cannot be used'],
  ['a passphrase for no key', () => ['--tls-passphrase-file', 'x'], 'there is no tlsKey'],
])('%s is told before anything is served', async (_, args, said) => {
  const files = await filesOf(makeCertificate('x'))
  const gateway = await serveProcess({ cwd: files.folder, args: args(files) })
  expect((await gateway.ended).code).toBe(1)
  expect(gateway.stderr()).toContain(said)
  expect(gateway.stderr()).not.toMatch(/PRIVATE KEY|\bat .*\.ts/)
})

test.each([
  ['644', 0o644],
  ['660', 0o660],
  ['602', 0o602],
])('a key file of mode %s is refused', async (_, mode) => {
  const files = await filesOf(makeCertificate('x'))
  chmodSync(files.key, mode)
  const gateway = await serveTls(files)
  expect((await gateway.ended).code).toBe(1)
  expect(gateway.stderr()).toContain(`others can read or change ${files.key}`)
})

test('a certificate that is over is served, and told of', async () => {
  const made = makeCertificate('old', { days: -1 })
  const gateway = await serveTls(await filesOf(made, 0o640))
  const address = await gateway.address
  await expect.poll(gateway.stderr).toContain('not valid now')
  await expect(ask(address, made)).rejects.toThrow()
})
