import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { type Place, temporaryFolder } from '../harness/databases.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

export interface ServeOptions {
  readonly place?: Place
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  /** No file may grow beyond so many bytes: writes then fail as on a full disk. */
  readonly fileLimit?: number
  /** A file that takes what it says on stderr. */
  readonly log?: string
}

/** A gateway in a process of its own, as `npm start` runs it. */
export interface ServeProcess {
  readonly pid: number
  /** Resolves with the address it prints; rejects with what it said when it ends instead. */
  readonly address: Promise<string>
  readonly stdout: () => string
  readonly stderr: () => string
  kill(signal: NodeJS.Signals): void
  /** Resolves when it has ended and all it said is here. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

export async function serveProcess(options: ServeOptions = {}): Promise<ServeProcess> {
  const { place, cwd, env, args = [], fileLimit, log } = options
  const command = [process.execPath, main, 'serve', ...args]
  const [file = '', ...more] = fileLimit === undefined ? command : limited(fileLimit, command)
  const stderr = log === undefined ? 'pipe' : openSync(log, 'a')
  const child = spawn(file, more, {
    cwd: cwd ?? (await temporaryFolder()),
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: '/nonexistent',
      PORT: '0',
      ...(place === undefined ? {} : { DATABASE_URL: place.databaseUrl, STELE_MASTER_KEY: place.masterKey }),
      ...(place?.schema === undefined ? {} : { DB_SCHEMA: place.schema }),
      ...env,
    },
    stdio: ['ignore', 'pipe', stderr],
  })
  if (typeof stderr === 'number') closeSync(stderr)
  onTestFinished(() => void child.kill('SIGKILL'))
  return processOf(child)
}

/** A shell's limit is counted in blocks of 512 bytes; a soft one can be lifted while the process runs. */
function limited(bytes: number, command: readonly string[]): string[] {
  return ['sh', '-c', `ulimit -S -f ${Math.floor(bytes / 512)} && exec "$@"`, 'sh', ...command]
}

function processOf(child: ChildProcess): ServeProcess {
  const said = { stdout: '', stderr: '' }
  const { promise: address, resolve, reject } = Promise.withResolvers<string>()
  child.stdout?.on('data', (bytes: Buffer) => {
    said.stdout += bytes.toString('utf8')
    const found = /^ {2}address +(http:\S+)\/v1$/m.exec(said.stdout)?.[1]
    if (found !== undefined) resolve(found)
  })
  child.stderr?.on('data', (bytes: Buffer) => {
    said.stderr += bytes.toString('utf8')
  })
  const ended = (once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>).then(
    ([code, signal]) => {
      reject(new Error(`the gateway ended with ${code ?? signal}: ${said.stderr}`))
      return { code, signal }
    },
  )
  // Whoever starts a gateway that must not start does not ask where it is.
  address.catch(() => undefined)
  return {
    pid: child.pid ?? 0,
    address,
    ended,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    kill: signal => void child.kill(signal),
  }
}
