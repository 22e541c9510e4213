import { closeSync, existsSync, openSync, rmSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { NewSpoolEntry, RejectedEntry, SpoolEntry, SpoolFile } from '../spool-file.ts'
import { exclusively } from './file-lock.ts'

const schema = [
  `CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    raw_bytes INTEGER NOT NULL,
    sealed BLOB NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS rejected (
    seq INTEGER PRIMARY KEY,
    call_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    raw_bytes INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    reason TEXT NOT NULL
  )`,
]

/** A spool in a SQLite file, as durable as the store in one. Nothing is made before `claim`. */
export function sqliteSpoolFile(path: string): SpoolFile {
  const connection = new SpoolConnection(path)
  const run = (sql: string, ...values: (string | number | Uint8Array)[]): number =>
    Number(connection.prepare(sql).run(...values).changes)
  const inTransaction = <R>(work: () => R): R => {
    try {
      run('BEGIN IMMEDIATE')
      const result = work()
      run('COMMIT')
      return result
    } catch (error) {
      // Undone with its connection: after a failed write or fsync that is not to be used again.
      connection.close()
      counted = undefined
      throw error
    }
  }
  let lock: DatabaseSync | undefined
  /** Counted once, then kept: counting means reading the whole table. */
  let counted: { depth: number; bytes: number } | undefined
  const waiting = (): { depth: number; bytes: number } => {
    if (counted === undefined) {
      const row = connection
        .prepare('SELECT count(*) AS depth, total(length(sealed)) AS bytes FROM entries')
        .get()
      counted = row as unknown as { depth: number; bytes: number }
    }
    return counted
  }
  const takeOut = (seqs: readonly number[], before: () => void = () => undefined): void => {
    const { depth, bytes } = waiting()
    const sizes = inTransaction(() => {
      before()
      const remove = connection.prepare('DELETE FROM entries WHERE seq = ? RETURNING length(sealed) AS size')
      return seqs.flatMap(seq => remove.all(seq).map(row => row['size'] as number))
    })
    counted = { depth: depth - sizes.length, bytes: bytes - sizes.reduce((sum, size) => sum + size, 0) }
  }

  return {
    path,
    claim() {
      if (lock !== undefined) return true
      const claimed = exclusively(`${path}.lock`)
      if (claimed === undefined) return false
      try {
        for (const statement of schema) run(statement)
      } catch (error) {
        connection.close()
        claimed.close()
        throw error
      }
      lock = claimed
      return true
    },
    append(entries) {
      const { depth, bytes } = waiting()
      inTransaction(() => {
        for (const { callId, kind, createdAt, rawBytes, sealed } of entries) {
          run(
            'INSERT INTO entries (call_id, kind, created_at, raw_bytes, sealed) VALUES (?, ?, ?, ?, ?)',
            callId,
            kind,
            createdAt,
            rawBytes,
            sealed,
          )
        }
      })
      const added = entries.reduce((sum, { sealed }) => sum + sealed.byteLength, 0)
      counted = { depth: depth + entries.length, bytes: bytes + added }
    },
    read(maxEntries, maxBytes) {
      const found: SpoolEntry[] = []
      let bytes = 0
      const rows = connection
        .prepare('SELECT seq, call_id, kind, created_at, raw_bytes, sealed FROM entries ORDER BY seq LIMIT ?')
        .iterate(maxEntries)
      for (const row of rows) {
        const entry = entryOf(row as unknown as EntryRow)
        bytes += entry.rawBytes
        if (found.length > 0 && bytes > maxBytes) break
        found.push(entry)
      }
      return found
    },
    remove(seqs) {
      takeOut(seqs)
    },
    reject(seq, reason) {
      takeOut([seq], () =>
        run(
          'INSERT INTO rejected SELECT seq, call_id, kind, created_at, raw_bytes, sealed, ? FROM entries WHERE seq = ?',
          reason,
          seq,
        ),
      )
    },
    retryRejected() {
      inTransaction(() => {
        run('INSERT INTO entries SELECT seq, call_id, kind, created_at, raw_bytes, sealed FROM rejected')
        run('DELETE FROM rejected')
      })
      counted = undefined
    },
    rewrite(change) {
      const rewritten = inTransaction(() => {
        connection.prepare('PRAGMA secure_delete = ON').all()
        return rewriteAll(connection, 'entries', change) + rewriteAll(connection, 'rejected', change)
      })
      counted = undefined
      connection.prepare('PRAGMA secure_delete = FAST').all()
      if (rewritten > 0) connection.prepare('PRAGMA wal_checkpoint(TRUNCATE)').all()
      return rewritten
    },
    status() {
      const oldest = connection.prepare('SELECT created_at FROM entries ORDER BY seq LIMIT 1').get()
      return { ...waiting(), oldestAt: oldest?.['created_at'] as number | undefined }
    },
    rejected() {
      const rows = connection
        .prepare('SELECT call_id AS callId, kind, reason FROM rejected ORDER BY seq')
        .all()
      return rows as unknown as RejectedEntry[]
    },
    release() {
      const isEmpty =
        lock !== undefined &&
        existsSync(path) &&
        connection.prepare('SELECT 1 FROM entries UNION ALL SELECT 1 FROM rejected LIMIT 1').get() ===
          undefined
      connection.close()
      if (isEmpty) for (const suffix of ['', '-wal', '-shm', '.lock']) rmSync(path + suffix, { force: true })
      lock?.close()
      lock = undefined
    },
  }
}

function rewriteAll(
  connection: SpoolConnection,
  table: 'entries' | 'rejected',
  change: (entry: SpoolEntry) => NewSpoolEntry | undefined,
): number {
  let rewritten = 0
  const next = connection.prepare(
    `SELECT seq, call_id, kind, created_at, raw_bytes, sealed FROM ${table} WHERE seq > ? ORDER BY seq LIMIT 1`,
  )
  const update = connection.prepare(
    `UPDATE ${table} SET call_id = ?, kind = ?, raw_bytes = ?, sealed = ? WHERE seq = ?`,
  )
  for (let seq = 0; ; ) {
    const row = next.get(seq) as unknown as EntryRow | undefined
    if (row === undefined) return rewritten
    seq = row.seq
    const changed = change(entryOf(row))
    if (changed === undefined) continue
    update.run(changed.callId, changed.kind, changed.rawBytes, changed.sealed, seq)
    rewritten++
  }
}

/** How long a statement waits for somebody who looks at the file, in milliseconds. */
const busyTimeout = 10_000

/** The open file, opened anew after it was closed, and its prepared statements. It blocks, in a thread made for that. */
class SpoolConnection {
  readonly #path: string
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync | undefined

  constructor(path: string) {
    this.#path = path
  }

  prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    this.#database ??= this.#open()
    const statement = this.#database.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  close(): void {
    this.#statements.clear()
    const database = this.#database
    this.#database = undefined
    try {
      database?.close()
    } catch {
      // What has failed before may fail to be closed; there is nothing in it that is not in the file.
    }
  }

  #open(): DatabaseSync {
    // Readable by its owner alone; SQLite gives its log the same mode.
    closeSync(openSync(this.#path, 'a', 0o600))
    const database = new DatabaseSync(this.#path, { timeout: busyTimeout })
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = FAST; PRAGMA temp_store = MEMORY',
    )
    return database
  }
}

interface EntryRow {
  readonly seq: number
  readonly call_id: string
  readonly kind: string
  readonly created_at: number
  readonly raw_bytes: number
  readonly sealed: Uint8Array
}

function entryOf({ seq, call_id, kind, created_at, raw_bytes, sealed }: EntryRow): SpoolEntry {
  return { seq, callId: call_id, kind, createdAt: created_at, rawBytes: raw_bytes, sealed }
}
