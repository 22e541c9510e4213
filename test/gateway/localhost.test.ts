import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect as connectPlain, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { makeCertificate } from '../harness/certificate.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { serveProcess } from './serve-process.ts'

const hosts = ['127.0.0.1', '::1'] as const

const apiKey = 'sk-test-0123456789abcdef'

/** Whether this machine has an IPv6 loopback to listen on. */
const hasSix = await new Promise<boolean>(resolve => {
  const probe = createServer()
  probe.once('error', () => resolve(false))
  probe.listen(0, '::1', () => probe.close(() => resolve(true)))
})

const serveLocalhost = (cwd: string, env: Record<string, string> = {}, args: string[] = []) =>
  serveProcess({ cwd, args: ['--host', 'localhost', ...args], env: { STELE_API_KEY: apiKey, ...env } })

/** Everything that comes on a connection until it is closed. */
async function said(socket: Socket, request: string): Promise<string> {
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  let text = ''
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1')
  })
  socket.write(request)
  await new Promise(resolve => socket.once('close', resolve))
  return text
}

const closing = 'Host: localhost\r\nConnection: close\r\n\r\n'

test.runIf(hasSix)('both addresses of localhost have the same limits and the same answers', async () => {
  const gateway = await serveLocalhost(await temporaryFolder(), {
    STELE_MAX_CONNECTIONS: '3',
    STELE_REQUEST_TIMEOUT: '1',
  })
  const port = Number(new URL(await gateway.address).port)
  for (const host of hosts) {
    const open = () => connectPlain(port, host)
    expect(await said(open(), `GET /healthz HTTP/1.1\r\n${closing}`), host).toContain('{"status":"ok"}')
    const malformed = await said(open(), 'NONSENSE\r\n\r\n')
    expect(malformed).toMatch(/^HTTP\/1\.1 400 [\s\S]*x-stele-call-id[\s\S]*"code":"invalid_http"/)
    // A socket that is handed to nobody would stay for ever.
    const upgrade = `GET /v1/models HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nHost: localhost\r\n\r\n`
    expect(await said(open(), upgrade)).toContain('"code":"missing_api_key"')
    const expecting = `GET /healthz HTTP/1.1\r\nExpect: the-unexpected\r\n${closing}`
    expect(await said(open(), expecting)).toContain('{"status":"ok"}')
    // A head that never ends.
    expect(await said(open(), 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nx-slow:')).toContain(
      '"code":"request_timeout"',
    )
  }
  const idle = [connectPlain(port, '::1'), connectPlain(port, '127.0.0.1'), connectPlain(port, '::1')]
  for (const socket of idle) {
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
  }
  expect(await said(connectPlain(port, '::1'), `GET /healthz HTTP/1.1\r\n${closing}`)).toBe('')
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
})

test.runIf(hasSix)('both addresses of localhost get the new certificate at SIGHUP', async () => {
  const folder = await temporaryFolder()
  const files = { cert: join(folder, 'server.crt'), key: join(folder, 'server.key') }
  const put = (name: string): void => {
    const { cert, key } = makeCertificate(name)
    writeFileSync(files.cert, cert)
    writeFileSync(files.key, key, { mode: 0o600 })
  }
  put('first')
  const gateway = await serveLocalhost(folder, {}, ['--tls-cert', files.cert, '--tls-key', files.key])
  const port = Number(new URL(await gateway.address).port)
  const served = async (host: string): Promise<unknown> => {
    const socket = connect({ host, port, rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    const { CN } = socket.getPeerCertificate().subject
    socket.destroy()
    return CN
  }
  for (const host of hosts) expect(await served(host), host).toBe('first')
  put('second')
  gateway.kill('SIGHUP')
  for (const host of hosts) await expect.poll(() => served(host), { timeout: 5_000 }).toBe('second')
  const socket = connect({ host: '::1', port, rejectUnauthorized: false })
  expect(await said(socket, `GET /healthz HTTP/1.1\r\n${closing}`)).toContain('{"status":"ok"}')
  gateway.kill('SIGTERM')
  expect(await gateway.ended).toEqual({ code: 0, signal: null })
})

test.runIf(hasSix)('a gateway whose other address another program has does not start', async () => {
  const other = createServer()
  onTestFinished(() => void other.close())
  other.listen(0, '::1')
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  const gateway = await serveLocalhost(await temporaryFolder(), { PORT: String(port) })
  expect((await gateway.ended).code).toBe(1)
  expect(gateway.stderr()).toContain('the port is taken')
})
