import { createHash } from 'node:crypto'
import type { AuditPlaceStore } from '../../store/audit-places.ts'
import { readCheckpoint } from '../checkpoint.ts'
import { checkpointLine } from '../export-line.ts'
import type { CheckpointFile } from './checkpoint-file.ts'
import type { Damage } from './line-file.ts'
import type { StoredCheckpoint } from './log-source.ts'
import { deliver, type Webhook } from './webhook.ts'
import { cosign, type Witness, WitnessDisagrees } from './witness.ts'

/** Where checkpoints go. */
export const outsidePlaces = ['file', 'stdout', 'webhook', 'witness'] as const

export type OutsidePlace = (typeof outsidePlaces)[number]

export interface PublisherOptions {
  /** The newest checkpoint of the log. */
  readonly latest: () => Promise<StoredCheckpoint | undefined>
  /** Shows that the tree of size `to` begins with that of size `from`. */
  readonly proof: (from: number, to: number) => Promise<readonly Uint8Array[]>
  /** Keeps a note that has a cosignature now. */
  readonly keepNote: (size: number, note: string) => Promise<void>
  readonly places: AuditPlaceStore
  /** Whether this process, of several on one database, is the one that tells others over the network. */
  readonly takeTurn: () => Promise<boolean>
  readonly file?: CheckpointFile | undefined
  /** Told each checkpoint as a line of JSON. */
  readonly print?: ((line: string) => void) | undefined
  readonly webhook?: Webhook | undefined
  readonly witness?: Witness | undefined
  /** Told how an attempt went; `error` is undefined when it went well. */
  readonly onAttempt: (place: OutsidePlace, error: unknown) => void
  readonly onDamage: (how: Damage) => void
  /** Told that a witness has seen a log of this size, which this one is not, or not yet again. */
  readonly onDisagreement: (size: number) => void
}

/** Milliseconds before a delivery that failed is tried again; they double. */
const firstPause = 1_000
const longestPause = 300_000

/** Takes the newest checkpoint out of the database, each to a place once. */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #stopping = new AbortController()
  #printed = 0
  #witnessed = 0
  #retry: NodeJS.Timeout | undefined
  #pause = firstPause
  #running: Promise<void> = Promise.resolve()

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Never rejects. One that comes while another is under way follows it. */
  publish(): Promise<void> {
    this.#running = this.#running.then(() => this.#publish())
    return this.#running
  }

  /** Ends. @param isLast publishes once more before */
  async close({ isLast }: { readonly isLast: boolean }): Promise<void> {
    clearTimeout(this.#retry)
    if (isLast) await this.publish()
    await this.#running
    clearTimeout(this.#retry)
    this.#stopping.abort()
    await this.#options.file?.close()
  }

  async #publish(): Promise<void> {
    clearTimeout(this.#retry)
    const { latest, takeTurn, webhook, witness, print } = this.#options
    const stored = await latest().catch(() => undefined)
    if (stored === undefined) return
    const isOnTurn =
      webhook !== undefined || witness !== undefined || print !== undefined
        ? await takeTurn().catch(() => false)
        : false
    const checkpoint = isOnTurn ? await this.#cosigned(stored) : stored
    await this.#attempt('file', () => this.#toFile(checkpoint))
    if (!isOnTurn) return
    this.#print(checkpoint)
    const isDelivered = await this.#attempt('webhook', () => this.#toWebhook(checkpoint))
    if (isDelivered) this.#pause = firstPause
    else {
      this.#retry = setTimeout(() => void this.publish(), this.#pause).unref()
      this.#pause = Math.min(this.#pause * 2, longestPause)
    }
  }

  async #attempt(place: OutsidePlace, work: () => Promise<boolean>): Promise<boolean> {
    try {
      if (await work()) this.#options.onAttempt(place, undefined)
      return true
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#options.onAttempt(place, error)
      return false
    }
  }

  async #toFile({ note }: StoredCheckpoint): Promise<boolean> {
    const { file, onDamage } = this.#options
    if (file === undefined) return false
    const damage = await file.damage()
    if (damage !== undefined) onDamage(damage)
    return file.write(note)
  }

  #print({ size, note }: StoredCheckpoint): void {
    const { print } = this.#options
    if (print === undefined || size <= this.#printed) return
    print(`${checkpointLine(note)}\n`)
    this.#printed = size
    this.#options.onAttempt('stdout', undefined)
  }

  async #toWebhook({ size, note }: StoredCheckpoint): Promise<boolean> {
    const { webhook, places } = this.#options
    if (webhook === undefined) return false
    const id = `webhook:${createHash('sha256').update(webhook.url).digest('hex').slice(0, 16)}`
    if (size <= (await places.positionOf(id))) return false
    await deliver(webhook, note, { signal: this.#stopping.signal })
    await places.note(id, size)
    return true
  }

  /** The checkpoint with the cosignature of the witness, or as it is when there is none to be had. */
  async #cosigned(checkpoint: StoredCheckpoint): Promise<StoredCheckpoint> {
    const { witness, proof, keepNote } = this.#options
    const { size, note } = checkpoint
    if (witness === undefined || size <= this.#witnessed) return checkpoint
    let cosigned = note
    await this.#attempt('witness', async () => {
      try {
        cosigned = await cosign(witness, note, {
          from: this.#witnessed,
          proofFrom: from => proof(from, size),
          signal: this.#stopping.signal,
        })
      } catch (error) {
        if (error instanceof WitnessDisagrees) await this.#examine(error.size, size)
        throw error
      }
      this.#witnessed = size
      if (cosigned !== note) await keepNote(size, cosigned)
      return true
    })
    return { size, note: cosigned }
  }

  /** Another gateway may have been faster: only a log that is shorter still is an older one. */
  async #examine(seen: number, size: number): Promise<void> {
    const now = (await this.#options.latest())?.size ?? 0
    if (seen === size || now < seen) this.#options.onDisagreement(seen)
  }
}

/** The root that a note tells of, for comparing. @throws SteleError note_invalid, checkpoint_invalid */
export function publishedIn(note: string): { readonly size: number; readonly root: string } {
  const { size, root } = readCheckpoint(note)
  return { size, root: root.toString('base64') }
}
