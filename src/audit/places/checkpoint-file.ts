import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { claimFile, type FileLock } from '../../db/file-lock.ts'
import { readCheckpoint } from '../checkpoint.ts'
import { checkpointLine } from '../export-line.ts'
import { checkpointIn } from './edges.ts'
import { type Damage, LineFile } from './line-file.ts'
import type { StoredCheckpoint } from './log-source.ts'

/** A file that has each checkpoint once, as lines of JSON. One process at a time writes it. */
export class CheckpointFile {
  readonly #path: string
  #lock: FileLock | undefined
  #lines: LineFile | undefined

  constructor(path: string) {
    this.#path = resolve(path)
  }

  /**
   * The last checkpoint in the file, or in those that stand in for it, whoever writes it; undefined when there is none.
   * @throws what the system says
   */
  async last(): Promise<StoredCheckpoint | undefined> {
    const parts = await this.#parts()
    for (const path of parts.reverse()) {
      const text = await readFile(path, 'utf8')
      const found = text
        .split('\n')
        .map(checkpointIn)
        .findLast(each => each !== undefined)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** What somebody else has done to the file. It is left as it is, and another one beside it is written from then on. */
  async damage(): Promise<Damage | undefined> {
    const damage = await this.#lines?.damage()
    if (damage === undefined) return undefined
    await this.#lines?.close()
    const beside = damage === 'removed' ? this.#path : `${this.#path}.${(await this.#parts()).length + 1}`
    this.#lines = await LineFile.open(beside)
    return damage
  }

  /**
   * Adds a checkpoint unless the file has it, or a later one. False when another process writes the file.
   * @throws what the system says; then nothing was added
   */
  async write(note: string): Promise<boolean> {
    this.#lock ??= claimFile(`${this.#path}.lock`)
    if (this.#lock === undefined) return false
    this.#lines ??= await LineFile.open((await this.#parts()).at(-1) ?? this.#path)
    const last = await this.last()
    if ((last?.size ?? -1) >= readCheckpoint(note).size) return true
    await this.#lines.append(`${checkpointLine(note)}\n`)
    return true
  }

  async close(): Promise<void> {
    await this.#lines?.close()
    this.#lines = undefined
    this.#lock?.release()
    this.#lock = undefined
  }

  /** The file and those that stand in for it, in the order in which they were begun. */
  async #parts(): Promise<string[]> {
    const own = basename(this.#path)
    const names = await readdir(dirname(this.#path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    return names
      .flatMap(name => {
        if (name === own) return [1]
        const part = name.startsWith(`${own}.`) ? name.slice(own.length + 1) : ''
        return /^[2-9]$|^[1-9]\d+$/.test(part) ? [Number(part)] : []
      })
      .sort((a, b) => a - b)
      .map(part => (part === 1 ? this.#path : `${this.#path}.${part}`))
  }
}
