import { readdir } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { claimFile, type FileLock } from '../../db/file-lock.ts'
import { readCheckpoint } from '../checkpoint.ts'
import { checkpointLine } from '../export-line.ts'
import { lastCheckpointIn } from './edges.ts'
import { type Damage, LineFile } from './line-file.ts'
import type { StoredCheckpoint } from './log-source.ts'

/** A file that has each checkpoint once, as lines of JSON. One process at a time writes it. */
export class CheckpointFile {
  readonly #path: string
  #lock: FileLock | undefined
  #lines: LineFile | undefined
  /** What this process has written, or found in the file when it began to. */
  #last: StoredCheckpoint | undefined
  /** The file that stands in for one that somebody has changed. */
  #beside: string | undefined

  constructor(path: string) {
    this.#path = resolve(path)
  }

  /**
   * The last checkpoint in the file, or in those that stand in for it, whoever writes it; undefined when there is none.
   * @throws what the system says
   */
  async last(): Promise<StoredCheckpoint | undefined> {
    // Whoever writes it knows, whatever somebody else has made of the file.
    if (this.#last !== undefined) return this.#last
    const parts = await this.#parts()
    for (const path of parts.reverse()) {
      const found = await lastCheckpointIn(path)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** What somebody else has done to the file. It is left as it is, and another one beside it is written from then on. */
  async damage(): Promise<Damage | undefined> {
    const damage = await this.#lines?.damage()
    if (damage === undefined) return undefined
    const damaged = this.#lines
    this.#lines = undefined
    this.#beside = damage === 'removed' ? damaged?.path : `${this.#path}.${(await this.#parts()).length + 1}`
    await damaged?.close()
    return damage
  }

  /**
   * Adds a checkpoint unless the file has it, or a later one; a file that stands in for another begins with one in any case. False when another process writes the file.
   * @throws what the system says; then nothing was added
   */
  async write(note: string): Promise<boolean> {
    this.#lock ??= claimFile(`${this.#path}.lock`)
    if (this.#lock === undefined) return false
    const last = await this.last()
    const isBeside = this.#beside !== undefined
    this.#lines ??= await LineFile.open(this.#beside ?? (await this.#parts()).at(-1) ?? this.#path)
    const { size } = readCheckpoint(note)
    this.#last = last
    if (!isBeside && (last?.size ?? -1) >= size) return true
    await this.#lines.append(`${checkpointLine(note)}\n`)
    this.#last = { size, note }
    this.#beside = undefined
    return true
  }

  async close(): Promise<void> {
    await this.#lines?.close()
    this.#lines = undefined
    this.#last = undefined
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
