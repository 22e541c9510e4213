import { execFileSync } from 'node:child_process'
import { reasonOf, SteleError } from '../errors.ts'
import type { MasterKeys } from './key-ring.ts'
import {
  generateMasterKey,
  type MasterKey,
  makeMasterKeyFile,
  parseMasterKey,
  readMasterKeyFile,
} from './master-key.ts'

/** Where master keys come from, the current one first. Plain data: it crosses to the writer thread. */
export interface MasterKeySource {
  readonly from: /** Base64, as it was given. */
    | { readonly kind: 'given'; readonly key: string }
    | { readonly kind: 'file'; readonly path: string }
    /** A command line for the shell, or a program and its arguments. */
    | { readonly kind: 'command'; readonly command: string | readonly string[] }
    /** For a database that ends with its process. */
    | { readonly kind: 'random' }
  /** Keys that older secrets may still be wrapped by, in base64. */
  readonly previous: readonly string[]
}

/** Milliseconds and bytes that a command may take to print its keys. */
const longestCommand = 30_000
const commandOutput = 64 * 1024

/** Milliseconds between two looks for a key that is not known: another may be put in place while this process runs. */
const reloadPause = 1_000

/** The master keys of this process. They are read when the first one is needed. */
export class LoadedMasterKeys implements MasterKeys {
  readonly #source: MasterKeySource
  readonly #commandTime: number
  #keys: readonly MasterKey[] | undefined
  #loadedAt = 0

  /** @param commandTime milliseconds that a command may take */
  constructor(source: MasterKeySource, commandTime = longestCommand) {
    this.#source = source
    this.#commandTime = commandTime
  }

  /** The key that what is new is wrapped by. @throws SteleError master_key_invalid */
  get current(): MasterKey {
    const [first] = this.#loaded()
    if (first === undefined) throw new SteleError('master_key_invalid', { reason: 'there is none' })
    return first
  }

  /** The same for a database that has no secrets yet: a key file that is not there is made. */
  makeCurrent(): MasterKey {
    const { from } = this.#source
    if (from.kind === 'file') makeMasterKeyFile(from.path)
    return this.current
  }

  /** All of them, the current one first. */
  get all(): readonly MasterKey[] {
    return this.#loaded()
  }

  /** The file that the keys are read from, if they are. */
  get file(): string | undefined {
    const { from } = this.#source
    return from.kind === 'file' ? from.path : undefined
  }

  /** Reads the keys again when they are next needed. */
  reload(): void {
    if (this.#source.from.kind !== 'random') this.#keys = undefined
  }

  find(id: string): MasterKey {
    const known = this.#loaded().find(key => key.id === id)
    if (known !== undefined) return known
    if (performance.now() - this.#loadedAt > reloadPause && this.#source.from.kind !== 'random') this.#read()
    const found = this.#loaded().find(key => key.id === id)
    if (found === undefined) throw new SteleError('master_key_mismatch')
    return found
  }

  /** Reads the keys. Where that fails those that there are stay: whatever they open can be opened still. */
  #read(): readonly MasterKey[] {
    try {
      this.#keys = [
        ...keysFrom(this.#source.from, this.#commandTime),
        ...this.#source.previous.map(parseMasterKey),
      ]
      return this.#keys
    } finally {
      this.#loadedAt = performance.now()
    }
  }

  #loaded(): readonly MasterKey[] {
    return this.#keys ?? this.#read()
  }

  /** What another thread needs to have the same keys. */
  get shared(): MasterKeySource {
    const { from, previous } = this.#source
    return from.kind === 'random'
      ? { from: { kind: 'given', key: Buffer.from(this.current.bytes).toString('base64') }, previous }
      : this.#source
  }
}

function keysFrom(from: MasterKeySource['from'], commandTime: number): MasterKey[] {
  switch (from.kind) {
    case 'given':
      return [parseMasterKey(from.key)]
    case 'file':
      return readMasterKeyFile(from.path)
    case 'command':
      return keysOfCommand(from.command, commandTime)
    case 'random':
      return [generateMasterKey()]
  }
}

/** @throws SteleError master_key_invalid; what the command printed is never told */
function keysOfCommand(command: string | readonly string[], commandTime: number): MasterKey[] {
  const [program, ...programArguments] = typeof command === 'string' ? ['/bin/sh', '-c', command] : command
  let output: string
  try {
    output = execFileSync(program ?? '', programArguments, {
      encoding: 'utf8',
      timeout: commandTime,
      maxBuffer: commandOutput,
      stdio: ['ignore', 'pipe', 'inherit'],
      killSignal: 'SIGKILL',
    })
  } catch (error) {
    throw new SteleError('master_key_invalid', { reason: `its command ${failureOf(error, commandTime)}` })
  }
  const lines = output.split('\n').filter(line => line.trim() !== '')
  if (lines.length === 0)
    throw new SteleError('master_key_invalid', { reason: 'its command printed nothing' })
  return lines.map(parseMasterKey)
}

/** How a command failed, without what it printed. */
function failureOf(error: unknown, commandTime: number): string {
  const { code, signal, status } = error as { code?: string; signal?: string | null; status?: number | null }
  if (code === 'ETIMEDOUT') return `took longer than ${commandTime / 1_000} s`
  if (code === 'ENOBUFS') return 'printed too much'
  if (typeof status === 'number') return `ended with ${status}`
  return signal == null ? `cannot be run: ${code ?? reasonOf(error)}` : `was ended by ${signal}`
}
