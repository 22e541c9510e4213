import type { Kysely } from 'kysely'
import type { Tables } from '../../db/tables.ts'
import { SteleError } from '../../errors.ts'
import type { Reading, Store } from '../../store/contents.ts'
import { committedContent } from '../committed-content.ts'
import {
  checkpointLine,
  type ErasableContent,
  type ExportedEvent,
  type ExportFilter,
  eventLine,
  headerLine,
  keyLine,
} from '../export-line.ts'
import { broken } from '../log/broken.ts'
import {
  type AuditLogReader,
  auditLogReader,
  type LoggedEvent,
  type StoredCheckpoint,
} from '../log/reader.ts'
import { inclusionProof } from '../merkle.ts'
import { parseVkey } from '../note-keys.ts'
import { leafOfEvent } from '../verify/entry.ts'
import { cloudEventLine } from './cloud-event.ts'
import type { ExportFormat } from './formats.ts'
import { ocsfLine } from './ocsf.ts'

export interface AuditExportOptions {
  /** `jsonl` when left out: what can be verified. The others are for programs that collect events. */
  readonly format?: ExportFormat | undefined
  /** Only events of this user. */
  readonly userId?: string | undefined
  /** Only events from this time on, in milliseconds since 1970, UTC. */
  readonly since?: number | undefined
  /** Only events before this time. */
  readonly until?: number | undefined
  /** Whether each event of a selection has its proof; true when left out. */
  readonly proofs?: boolean | undefined
  /** Whether content that events commit to, and that can be erased, goes with them where it is still there. */
  readonly contents?: boolean | undefined
  /** Told after every few hundred entries that were looked at. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

export interface AuditExportCounts {
  readonly events: number
  /** Entries of the log at that time. */
  readonly size: number
}

/** Entries that are read at once. */
const atATime = 1_000

/** Entries between two checkpoints at least: verifying a signature takes as long as thirty events. */
const checkpointEvery = 1_000

/** Characters of lines that are written at once. */
const textAtATime = 256 * 1024

const about = {
  complete:
    'Every event of the log, and the checkpoints that prove them. docs/audit-verification.md tells how.',
  selection:
    'A selection: its proofs show that each of these events is in the log, not that there are no others. docs/audit-verification.md tells how.',
  unproven:
    'A selection without proofs: nothing shows that these events are in the log, or that there are no others.',
}

/**
 * Writes the log of a database, or a selection of its events, as lines, as it is at one moment. Memory does not grow with it.
 * @param write takes some lines, each with its end; it is waited for
 * @throws SteleError audit_log_broken when what the log tells of is not there, content_unreadable
 */
export async function exportAudit(
  database: Store,
  write: (lines: string) => Promise<void>,
  options: AuditExportOptions = {},
): Promise<AuditExportCounts> {
  return database.snapshot(async db => {
    const reader = auditLogReader({ kysely: db, contents: database.contents })
    const latest = await reader.latest()
    const keys = await reader.keys()
    const [key] = keys
    const origin = key === undefined ? '' : parseVkey(key.vkey).name
    const lines = new Lines(write)
    const { format = 'jsonl', onProgress } = options
    const size = latest?.size ?? 0
    const filter = filterOf(options)
    if (format === 'jsonl') {
      await lines.add(headerOf(origin, latest, filter, options.proofs !== false))
      for (const { vkey } of keys) await lines.add(keyLine(vkey))
    }
    const withProof = filter !== undefined && options.proofs !== false
    const opening = (event: Existing['event']) =>
      openingOf({ kysely: db, contents: database.contents }, event)
    const lineOf = liner(
      format,
      origin,
      reader,
      size,
      withProof,
      options.contents === true ? opening : undefined,
    )
    const checkpoints = format === 'jsonl' && filter === undefined ? new Checkpoints(reader, size) : undefined
    let events = 0
    for await (const page of pagesOf(db, reader, size, options.userId)) {
      for (const entry of page) {
        if (isMeant(entry, options)) {
          await lines.add(await lineOf(entry))
          events++
        }
        const note = await checkpoints?.at(entry.index + 1)
        if (note !== undefined) await lines.add(checkpointLine(note))
      }
      onProgress?.((page.at(-1)?.index ?? 0) + 1, size)
    }
    if (size === 0 && latest !== undefined) await lines.add(checkpointLine(latest.note))
    await lines.end()
    return { events, size }
  })
}

function filterOf({ userId, since, until }: AuditExportOptions): ExportFilter | undefined {
  if (userId === undefined && since === undefined && until === undefined) return undefined
  return {
    ...(userId === undefined ? {} : { user: userId }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  }
}

function headerOf(
  origin: string,
  latest: StoredCheckpoint | undefined,
  filter: ExportFilter | undefined,
  hasProofs: boolean,
): string {
  const common = { audit_export: 1, origin, created_at: Date.now(), size: latest?.size ?? 0 } as const
  if (filter === undefined) return headerLine({ ...common, complete: true, about: about.complete })
  if (latest === undefined) throw new SteleError('audit_log_empty')
  const words = hasProofs ? about.selection : about.unproven
  return headerLine({ ...common, complete: false, filter, checkpoint: latest.note, about: words })
}

type Existing = LoggedEvent & { readonly event: NonNullable<LoggedEvent['event']> }

/** How an entry becomes a line. */
function liner(
  format: ExportFormat,
  origin: string,
  reader: AuditLogReader,
  size: number,
  withProof: boolean,
  opening: ((event: Existing['event']) => Promise<ErasableContent | undefined>) | undefined,
): (entry: Existing) => Promise<string> {
  if (format === 'ocsf') return async entry => ocsfLine(exported(entry), origin)
  if (format === 'cloudevents') return async entry => cloudEventLine(exported(entry), origin)
  const hashes = reader.hashes()
  return async entry =>
    eventLine({
      ...exported(entry),
      content: await opening?.(entry.event),
      proof: withProof ? await inclusionProof(hashes, entry.index, size) : undefined,
    })
}

/** What an event commits to, where it is still there. What is there in its place proves nothing, and is not handed on. */
async function openingOf(reading: Reading, event: Existing['event']): Promise<ErasableContent | undefined> {
  const verdict = await committedContent(reading, event)
  return verdict.kind === 'same' ? verdict.content : undefined
}

function exported({ index, salt, event }: Existing): ExportedEvent {
  return { index, salt, event, leaf: leafOfEvent(event, salt) }
}

function isMeant({ event }: Existing, { since, until }: AuditExportOptions): boolean {
  return (
    (since === undefined || event.created_at >= since) && (until === undefined || event.created_at < until)
  )
}

/** The entries of the log with their events in their order, all or one user's. @throws SteleError audit_log_broken */
async function* pagesOf(
  db: Kysely<Tables>,
  reader: AuditLogReader,
  size: number,
  userId: string | undefined,
): AsyncGenerator<Existing[]> {
  if (userId === undefined) {
    for (let from = 0; from < size; from += atATime)
      yield existing(await reader.events({ from, to: Math.min(size, from + atATime) }))
    return
  }
  for (let after = -1; ; ) {
    const rows = await db
      .selectFrom('audit_log')
      .select('leaf_index')
      .where('user_id', '=', userId)
      .where('leaf_index', '>', after)
      .where('leaf_index', '<', size)
      .orderBy('leaf_index')
      .limit(atATime)
      .execute()
    const [first, last] = [rows[0], rows.at(-1)]
    if (first === undefined || last === undefined) return
    const wanted = new Set(rows.map(row => row.leaf_index))
    for (const stretch of stretchesOf([...wanted]))
      yield existing(await reader.events(stretch)).filter(({ index }) => wanted.has(index))
    after = last.leaf_index
  }
}

/** Entries between two that are wanted are read too when they are few. */
const narrow = 8

/** Ranges of the log that have all these entries, and few others. */
function stretchesOf(indexes: readonly number[]): { from: number; to: number }[] {
  const stretches: { from: number; to: number }[] = []
  for (const index of indexes) {
    const last = stretches.at(-1)
    if (last !== undefined && index - last.to < narrow && index - last.from < atATime) last.to = index + 1
    else stretches.push({ from: index, to: index + 1 })
  }
  return stretches
}

function existing(entries: readonly LoggedEvent[]): Existing[] {
  return entries.map(({ event, ...entry }) => {
    if (event === undefined) throw broken(`its event ${entry.eventId} is gone`)
    return { ...entry, event }
  })
}

/** The checkpoints that an export has: one now and then, and the last. */
class Checkpoints {
  readonly #reader: AuditLogReader
  readonly #size: number
  #next: StoredCheckpoint | undefined
  #wanted = checkpointEvery

  constructor(reader: AuditLogReader, size: number) {
    this.#reader = reader
    this.#size = size
  }

  /** The note to be written after so many entries, if there is one. */
  async at(size: number): Promise<string | undefined> {
    if (size < this.#wanted && size < this.#size) return undefined
    if (this.#next === undefined || this.#next.size < size)
      this.#next = (await this.#reader.checkpoints({ after: size - 1, limit: 1 }))[0]
    if (this.#next?.size !== size) return undefined
    this.#wanted = size + checkpointEvery
    return this.#next.note
  }
}

/** Gathers lines, so that few are written at a time. */
class Lines {
  readonly #write: (lines: string) => Promise<void>
  #text = ''

  constructor(write: (lines: string) => Promise<void>) {
    this.#write = write
  }

  async add(line: string): Promise<void> {
    this.#text += `${line}\n`
    if (this.#text.length >= textAtATime) await this.end()
  }

  async end(): Promise<void> {
    if (this.#text !== '') await this.#write(this.#text)
    this.#text = ''
  }
}
