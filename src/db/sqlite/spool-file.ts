import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { RejectedEntry, SpoolEntry, SpoolFile } from '../spool-file.ts'
import { SqliteConnection } from './connection.ts'

/** SQLITE_BUSY, https://sqlite.org/rescode.html */
const busyCode = 5

const schema = [
  `CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    sealed BLOB NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS rejected (
    seq INTEGER PRIMARY KEY,
    call_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    reason TEXT NOT NULL
  )`,
]

/** A spool in a SQLite file, as durable as the store in one. Nothing is made before `claim`. */
export function sqliteSpoolFile(path: string): SpoolFile {
  const connection = new SqliteConnection({
    kind: 'sqlite',
    path,
    inMemory: false,
    display: path,
    keyFolder: undefined,
  })
  const run = (sql: string, ...values: (string | number | Uint8Array)[]): number =>
    Number(connection.prepare(sql).run(...values).changes)
  const inTransaction = <R>(work: () => R): R => {
    run('BEGIN IMMEDIATE')
    try {
      const result = work()
      run('COMMIT')
      return result
    } catch (error) {
      try {
        run('ROLLBACK')
      } catch {
        // Rolled back by SQLite itself: the first error is the one to report.
      }
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
      lock = claimed
      for (const statement of schema) run(statement)
      return true
    },
    append(entries) {
      const { depth, bytes } = waiting()
      inTransaction(() => {
        for (const { callId, kind, createdAt, sealed } of entries) {
          run(
            'INSERT INTO entries (call_id, kind, created_at, sealed) VALUES (?, ?, ?, ?)',
            callId,
            kind,
            createdAt,
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
        .prepare('SELECT seq, call_id, kind, created_at, sealed FROM entries ORDER BY seq LIMIT ?')
        .iterate(maxEntries)
      for (const row of rows) {
        const entry = entryOf(row as unknown as EntryRow)
        bytes += entry.sealed.byteLength
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
          'INSERT INTO rejected SELECT seq, call_id, kind, created_at, sealed, ? FROM entries WHERE seq = ?',
          reason,
          seq,
        ),
      )
    },
    retryRejected() {
      inTransaction(() => {
        run('INSERT INTO entries SELECT seq, call_id, kind, created_at, sealed FROM rejected')
        run('DELETE FROM rejected')
      })
      counted = undefined
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

/** A lock on a file of its own, held as long as the connection is open; undefined when another has it. */
function exclusively(path: string): DatabaseSync | undefined {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const connection = new DatabaseSync(path, { timeout: 0 })
  try {
    connection.exec('BEGIN EXCLUSIVE')
    return connection
  } catch (error) {
    connection.close()
    if ((error as { errcode?: number }).errcode === busyCode) return undefined
    throw error
  }
}

interface EntryRow {
  readonly seq: number
  readonly call_id: string
  readonly kind: string
  readonly created_at: number
  readonly sealed: Uint8Array
}

function entryOf({ seq, call_id, kind, created_at, sealed }: EntryRow): SpoolEntry {
  return { seq, callId: call_id, kind, createdAt: created_at, sealed }
}
