import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const sourceMain = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))

export interface GatewayProcessOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** A copy of the program; the sources when left out. */
  readonly main?: string | undefined
  /** Arguments for Node itself. */
  readonly nodeArguments?: readonly string[]
  /** Arguments for `serve`. */
  readonly args?: readonly string[] | undefined
  /** Bytes beyond which the system lets no file grow, as on a full disk. It can be lifted while the process runs. */
  readonly fileLimit?: number | undefined
  /** A file that takes what it says on stderr. */
  readonly log?: string | undefined
}

/** A gateway in a process of its own, as `npm start` runs it. */
export interface GatewayProcess {
  readonly pid: number
  /** Resolves with the address it prints; rejects with what it said when it ends instead. */
  readonly address: Promise<string>
  readonly stdout: () => string
  readonly stderr: () => string
  kill(signal: NodeJS.Signals): void
  /** Resolves when it has ended and all it said is here. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** What POSIX counts file sizes in for `ulimit -f`. */
const blockBytes = 512

/** Starts a gateway. Whoever does so ends it. */
export function startGatewayProcess(options: GatewayProcessOptions): GatewayProcess {
  const { cwd, env, main = sourceMain, nodeArguments = [], args = [], fileLimit, log } = options
  const node = [process.execPath, ...nodeArguments, main, 'serve', ...args] as const
  const command =
    fileLimit === undefined
      ? node
      : ([
          '/bin/sh',
          '-c',
          'ulimit -S -f "$0" && exec "$@"',
          String(Math.ceil(fileLimit / blockBytes)),
          ...node,
        ] as const)
  const [file, ...rest] = command
  const stderr = log === undefined ? 'pipe' : openSync(log, 'a')
  const child = spawn(file, rest, {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', stderr],
  })
  if (typeof stderr === 'number') closeSync(stderr)
  return processOf(child)
}

function processOf(child: ChildProcess): GatewayProcess {
  const said = { stdout: '', stderr: '' }
  const { promise: address, resolve, reject } = Promise.withResolvers<string>()
  child.stdout?.on('data', (bytes: Buffer) => {
    said.stdout += bytes.toString('utf8')
    const found = /^ {2}address +(https?:\S+)\/v1$/m.exec(said.stdout)?.[1]
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
