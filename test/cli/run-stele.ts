import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import { type Place, temporaryFolder } from '../harness/databases.ts'
import { packed } from '../harness/packed.ts'
import { canBeHosted, runHosted } from './hosted-commands.ts'

export interface RunOptions {
  /** The database that the environment names. */
  readonly place?: Place | undefined
  /** The working directory; an empty folder when left out. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** What stdin holds; nothing when left out. */
  readonly input?: string | Uint8Array
  /** Where stdout goes; collected when left out. */
  readonly stdout?: number
  /** Another copy of the program. */
  readonly main?: string
  /** Who runs it; whoever runs the tests when left out. */
  readonly uid?: number | undefined
  /** Runs it as a process of its own where one that has run other commands would do. */
  readonly isAlone?: boolean
}

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly bytes: Buffer
  readonly stderr: string
}

/** Runs the command line in an environment that holds nothing but what is given. */
export async function runStele(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { input, stdout, main, uid, isAlone } = options
  const hasOwnProcess = input !== undefined || stdout !== undefined || main !== undefined || uid !== undefined
  if (isAlone === true || hasOwnProcess || !canBeHosted(args)) return runAlone(args, options)
  const cwd = options.cwd ?? (await temporaryFolder())
  const end = await runHosted({ args, cwd, env: environmentFor(options) })
  const bytes = Buffer.from(end.stdout, 'base64')
  return {
    code: end.code,
    bytes,
    stdout: bytes.toString('utf8'),
    stderr: Buffer.from(end.stderr, 'base64').toString('utf8'),
  }
}

async function runAlone(args: readonly string[], options: RunOptions): Promise<Ended> {
  const child = await start(args, options)
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  const bytes = Buffer.concat(stdout)
  return { code, bytes, stdout: bytes.toString('utf8'), stderr: Buffer.concat(stderr).toString('utf8') }
}

/** The same for a command that reads: its answer, parsed. */
export async function runJson<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const { code, stdout, stderr } = await runStele([...args, '--json'], options)
  if (code !== 0) throw new Error(`stele ${args.join(' ')} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout) as T
}

/** A command that goes on until it is stopped. */
export interface Running {
  /** The next line of stdout. */
  nextLine(): Promise<string>
  /** The next line of stderr. */
  nextWord(): Promise<string>
  /** Sends a signal and waits for the end; the exit code. */
  stop(signal: NodeJS.Signals): Promise<number | null>
}

export async function startStele(args: readonly string[], options: RunOptions = {}): Promise<Running> {
  const child = await start(args, options)
  const lines = linesOf(child.stdout)
  const words = linesOf(child.stderr)
  const close = once(child, 'close') as Promise<[number | null]>
  return {
    nextLine: lines,
    nextWord: words,
    async stop(signal) {
      child.kill(signal)
      return (await close)[0]
    },
  }
}

async function start(args: readonly string[], options: RunOptions): Promise<ChildProcess> {
  const cwd = options.cwd ?? (await temporaryFolder())
  const script = packed('src/cli/main.ts')
  const child = spawn(process.execPath, [options.main ?? script.file, ...args], {
    cwd,
    env: { ...script.env, ...environmentFor(options) },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', options.stdout ?? 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  child.stdin?.end(options.input)
  return child
}

function environmentFor({ place, env }: RunOptions): Record<string, string> {
  const { PATH = '' } = process.env
  return { PATH, ...environmentOf(place), ...env }
}

function environmentOf(place: Place | undefined): Record<string, string> {
  if (place === undefined) return {}
  const { databaseUrl, masterKey, schema } = place
  return {
    DATABASE_URL: databaseUrl,
    STELE_MASTER_KEY: masterKey,
    ...(schema === undefined ? {} : { DB_SCHEMA: schema }),
  }
}

function linesOf(stream: NodeJS.ReadableStream | null): () => Promise<string> {
  if (stream === null) throw new Error('the stream is not piped')
  const lines = createInterface({ input: stream })[Symbol.asyncIterator]()
  return async () => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('the command ended before its next line')
    return value
  }
}
