import type { AuditOptions } from './audit/log/service.ts'
import type { AuditPlacesOptions } from './audit/places/service.ts'
import type { CacheLimits } from './cache/limits.ts'
import type { ContentMode } from './db/batch.ts'
import type { DatabaseSettings } from './db/database.ts'
import type { LimitOptions } from './limits/service.ts'
import type { PriceBookOptions } from './pricing/price-book.ts'
import type { SpoolChange } from './recorder/spooling-writer.ts'
import type { RetentionDefaults } from './retention/periods.ts'

export interface SteleOptions extends DatabaseSettings {
  /** `sqlite:path`, `sqlite::memory:`, `postgres://…`; SQLAlchemy's spellings work too. */
  readonly databaseUrl?: string | undefined
  /** 32 bytes in base64. Left out, a key file beside the SQLite file (or in .stele/) is read or made. */
  readonly masterKey?: string | undefined
  /** Prints the master key in base64: a command line for the shell, or a program and its arguments. */
  readonly masterKeyCommand?: string | readonly string[] | undefined
  /** Master keys that `masterKey` takes the place of, as long as anything is wrapped by them. */
  readonly previousMasterKeys?: readonly string[] | undefined
  /** How content is kept where neither its key nor its user says; `encrypted` when left out. */
  readonly contentMode?: ContentMode | undefined
  /** Apply missing migrations on opening; true unless set. */
  readonly migrate?: boolean | undefined
  /** Operations that may wait for a commit before callers wait too. */
  readonly maxQueued?: number | undefined
  /** Milliseconds for which writing is tried again while the database is unavailable. */
  readonly retryFor?: number | undefined
  /**
   * What becomes of calls while a database that runs elsewhere is away: kept in a durable spool on this machine and
   * written when it is back, or refused. 'spool' when left out.
   */
  readonly onStoreFailure?: 'spool' | 'refuse' | undefined
  /** Folder of the spools; `.stele/spool` when left out. Nothing is made in it before it is needed. */
  readonly spoolFolder?: string | undefined
  /** Bytes that may wait in the spool before calls are refused; 1 GiB when left out. */
  readonly spoolLimit?: number | undefined
  /** Told when spooling starts and when everything is in the database again. */
  readonly onSpoolChange?: ((change: SpoolChange) => void) | undefined
  /** Milliseconds without a sign of life after which a process on another machine counts as dead; 30,000 when left out. */
  readonly lease?: number | undefined
  /** Caps for each user of whom nothing else is set, and how they are held. */
  readonly limits?: LimitOptions | undefined
  /** How long things are kept for users of whom nothing else is set; what is left out, for ever. */
  readonly retention?: RetentionDefaults | undefined
  /** The user's own prices, and which providers there are: their addresses tell whose public prices hold. */
  readonly pricing?: PriceBookOptions | undefined
  /** How many answers are kept that may be given again, and how large they may be. */
  readonly cache?: Partial<CacheLimits> | undefined
  /** How the log of audit events is kept. */
  readonly audit?: AuditOptions | undefined
  /** Where it is taken to, outside the database; nowhere when left out. */
  readonly auditPlaces?: AuditPlacesOptions | undefined
  /** Told what went wrong in the background. */
  readonly onError?: ((error: unknown) => void) | undefined
}
