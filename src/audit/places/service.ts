import { hostname } from 'node:os'
import { resolve } from 'node:path'
import type { SteleError } from '../../errors.ts'
import { inTime } from '../../in-time.ts'
import { addEvents } from '../../store/audit-events.ts'
import { auditPlaceStore } from '../../store/audit-places.ts'
import { promptly, type Store } from '../../store/contents.ts'
import { leaseStore } from '../../store/leases.ts'
import { auditLogReader } from '../log/reader.ts'
import type { CheckpointPlaces } from '../log/sequencer.ts'
import { consistencyProof } from '../merkle.ts'
import { parseVkey } from '../note-keys.ts'
import { CheckpointFile } from './checkpoint-file.ts'
import { FileKeeper, type FilesState, type RoundMaker } from './file-keeper.ts'
import { Follower } from './follower.ts'
import { NewsDesk, type PlacesNews } from './news.ts'
import { OutsideKeeper, type OutsideState } from './outside-keeper.ts'
import { readerSource } from './reader-source.ts'
import type { Webhook } from './webhook.ts'

/** Where the log of audit events is taken to, outside the database. */
export interface AuditPlacesOptions {
  /** A folder for the files of each day. */
  readonly folder?: string | undefined
  /** Whether calls and changes are to be refused while the files do not have what was committed so many milliseconds before; 10,000 when left out. */
  readonly failClosed?: boolean | undefined
  readonly maxLag?: number | undefined
  /** A file that has each checkpoint that left the database. */
  readonly checkpointFile?: string | undefined
  /** Told each of them as a line of JSON. */
  readonly print?: ((line: string) => void) | undefined
  readonly webhook?: Webhook | undefined
  /** Its submission prefix, and its key as text (a vkey). */
  readonly witness?: { readonly url: string; readonly key: string } | undefined
  /** Milliseconds between two checkpoints that leave, at least; 60,000 when left out. */
  readonly interval?: number | undefined
  /** Whether the log is compared with what is outside, and nothing is taken there: that is left to others. */
  readonly compareOnly?: boolean | undefined
  /** Told what there is to tell of them. */
  readonly onNews?: ((news: PlacesNews) => void) | undefined
}

/** The places where the log is taken to. */
export interface AuditPlaces {
  /** Undefined where there are no files. */
  readonly files: FilesState | undefined
  readonly outside: OutsideState
  /** Why nothing may be done that is to be on record; undefined when it may. */
  refusal(): SteleError | undefined
}

const usualMaxLag = 10_000
const usualInterval = 60_000

/** Lines that are written in one turn of the event loop, where there is no other thread: it takes a few milliseconds. */
const linesInATurn = 64

/** Milliseconds that ending may take. */
const longestEnding = 5_000

/** Who tells others over the network. */
const lease = 'audit-outside'

interface Parts {
  readonly database: Store
  /** The process. */
  readonly holder: string
  readonly options: AuditPlacesOptions
  /** Follows the log in a thread, where the database can be opened in one. */
  readonly followElsewhere?: ((folder: string, expected: number) => RoundMaker) | undefined
}

/** The places, and what whoever takes events into the log has to do with them. */
export interface OpenedPlaces {
  readonly places: AuditPlaces
  readonly checkpoints: CheckpointPlaces
  /** Whether the log is one that may be gone on with. */
  readonly isTrusted: () => boolean
  /** Looks how everything stands, and begins. Never rejects. */
  start(): Promise<void>
  /** Ends, with what is in the log taken to where it belongs. Never rejects. */
  stop(): Promise<void>
}

/** @throws SteleError vkey_invalid */
export function openAuditPlaces({ database, holder, options, followElsewhere }: Parts): OpenedPlaces {
  const { onNews, folder, interval = usualInterval, compareOnly = false } = options
  const reading = promptly(database)
  const reader = auditLogReader(reading)
  const source = readerSource(reading, linesInATurn)
  const store = auditPlaceStore(database)
  const desk = new NewsDesk(
    event => database.kysely.transaction().execute(tx => addEvents(tx, database.contents, event)),
    news => onNews?.(news),
  )
  const tell = (news: PlacesNews): void => desk.take(news)
  const files =
    folder === undefined
      ? undefined
      : new FileKeeper({
          folder,
          placeId: `files:${hostname()}:${resolve(folder)}`,
          places: store,
          follow: expected =>
            followElsewhere?.(folder, expected) ?? new Follower({ folder, source, expected }),
          failClosed: options.failClosed ?? false,
          maxLag: options.maxLag ?? usualMaxLag,
          tell,
        })
  const { checkpointFile, print, webhook, witness } = options
  const outside = new OutsideKeeper({
    source,
    latest: () => reader.latest(),
    proof: (from, to) => consistencyProof(reader.hashes(), from, to),
    async keepNote(size, note) {
      await database.kysely
        .updateTable('audit_checkpoints')
        .set({ note })
        .where('tree_size', '=', size)
        .execute()
    },
    places: store,
    takeTurn: () => takeTurn(database, holder, interval),
    file: checkpointFile === undefined ? undefined : new CheckpointFile(checkpointFile),
    checkpointPath: checkpointFile,
    print,
    webhook,
    witness: witness && { url: witness.url, key: parseVkey(witness.key) },
    folder,
    interval,
    tell,
  })
  const hasPlaces = [folder, checkpointFile, print, webhook, witness].some(place => place !== undefined)
  return {
    places: {
      get files() {
        return files?.state
      },
      get outside() {
        return outside.state
      },
      refusal: () => files?.refusal(),
    },
    checkpoints: {
      published: () => outside.published(),
      async publish() {
        if (hasPlaces && !compareOnly) outside.signed()
      },
    },
    isTrusted: () => outside.isTrusted,
    async start() {
      if (!hasPlaces) return
      await outside.start({ compareOnly })
      if (!compareOnly) await files?.start()
    },
    async stop() {
      if (!hasPlaces || compareOnly) return
      const ending = async (): Promise<void> => {
        await files?.stop()
        await outside.stop()
        await desk.record()
        await leaseStore(database).release(lease, holder)
      }
      // What a database that is away holds up is done at the next start.
      await inTime(ending(), longestEnding).catch(() => undefined)
    },
  }
}

/** Another process takes over when this one was not heard of for three times as long as there is between two checkpoints. */
function takeTurn(database: Store, holder: string, interval: number): Promise<boolean> {
  const now = Date.now()
  return leaseStore(database).take(lease, holder, { now, expiresAt: now + 3 * interval })
}
