import type { Kysely } from 'kysely'
import type { Database } from '../db/database.ts'
import { migrateUp, requireCurrentSchema } from '../db/migrate.ts'
import { recordTables, type TableName, type Tables } from '../db/tables.ts'
import { reasonOf, SteleError } from '../errors.ts'
import { queueEverything } from '../store/search-queue.ts'
import { identityOf, markCopy, readCopyState, refuseUnfinishedCopy, unmarkCopy } from './copy-state.ts'
import { digestOf, TableDigest } from './digest.ts'
import { isEmpty } from './empty.ts'
import { countRows, highestKey, type Key, keyOf, pagesOf, removeRows } from './pages.ts'

/** What became of one table. */
export interface TableCopy {
  readonly table: TableName
  readonly rows: number
  /** How the target's table differs from the source's; undefined when the two are the same. */
  readonly difference: string | undefined
}

export interface CopyReport {
  readonly tables: readonly TableCopy[]
  /** It went on where an earlier run had stopped. */
  readonly isResumed: boolean
}

/** `copy` reads the source and writes the target; `check` reads the target again. */
export type CopyStep = 'copy' | 'check'

export interface CopyOptions {
  /** Told the rows in all before the first is copied, then after every page. */
  readonly onProgress?:
    | ((progress: { step: CopyStep; table: TableName; done: number; total: number }) => void)
    | undefined
}

/**
 * Copies everything from one database into another, as it is stored: what is encrypted stays so, and the secrets move
 * along. The source is only read, as it stands at one moment, and may be in use. The target must be empty, or hold what an
 * earlier run of the same copy left behind; that part is compared page by page and brought up to the source's present
 * state. In the end every table is counted and digested on both sides. Only when all are the same does the target stop
 * being marked as an unfinished copy.
 * @throws SteleError schema_missing, schema_newer, database_not_empty, copy_unfinished, copy_failed
 */
export async function copyDatabase(
  source: Database,
  target: Database,
  { onProgress }: CopyOptions = {},
): Promise<CopyReport> {
  return source.snapshot(async db => {
    await refuseUnfinishedCopy(source, db)
    await requireCurrentSchema(source, db)
    await migrateUp(target)
    const isResumed = await claimTarget(source, db, target)
    let total = 0
    for (const table of recordTables) total += await countRows(db, table)
    const follow = (step: CopyStep) => {
      let done = 0
      return (table: TableName, rows: number): void => {
        done += rows
        onProgress?.({ step, table, done, total })
      }
    }
    const onCopied = follow('copy')
    const originals = new Map<TableName, TableDigest>()
    for (const table of recordTables) {
      onCopied(table, 0)
      originals.set(table, await copyTable(db, target, table, rows => onCopied(table, rows)))
    }
    const onChecked = follow('check')
    const tables = await target.snapshot(async copy => {
      const results: TableCopy[] = []
      for (const [table, original] of originals)
        results.push(await checkTable(copy, table, original, rows => onChecked(table, rows)))
      return results
    })
    if (tables.every(({ difference }) => difference === undefined)) {
      // The search index is no part of the record: the copy makes its own.
      if (target.search !== undefined) await queueEverything(target)
      await unmarkCopy(target)
    }
    return { tables, isResumed }
  })
}

/** Marks the target as this source's copy. True when an earlier run did so already. */
async function claimTarget(source: Database, db: Kysely<Tables>, target: Database): Promise<boolean> {
  const identity = await identityOf(db)
  const database = target.location.display
  const state = await readCopyState(target)
  if (state !== undefined && state.identity !== identity)
    throw new SteleError('copy_unfinished', { database, source: state.source })
  if (state !== undefined) return true
  if (!(await isEmpty(target)))
    throw new SteleError('database_not_empty', { database, advice: 'A copy needs an empty one.' })
  await markCopy(target, { source: source.location.display, identity })
  return false
}

/** Copies what is missing and repairs what an earlier run left. Returns the digest of the source's table. */
async function copyTable<T extends TableName>(
  db: Kysely<Tables>,
  target: Database,
  table: T,
  onRows: (rows: number) => void,
): Promise<TableDigest> {
  const digest = new TableDigest(table)
  // Rows arrive in key order, so the highest key there tells how far an earlier run came.
  const reached = await highestKey(target.kysely, table)
  if (reached !== undefined) {
    let last: Key | undefined
    for await (const rows of pagesOf(db, table, { upTo: reached })) {
      digest.add(rows)
      const end = keyOf(table, rows.at(-1) as Tables[T])
      await repair(target, table, { after: last, upTo: end }, rows)
      last = end
      onRows(rows.length)
    }
    await repair(target, table, { after: last, upTo: reached }, [])
  }
  for await (const rows of pagesOf(db, table, { after: reached })) {
    digest.add(rows)
    await insert(target, table, rows)
    onRows(rows.length)
  }
  return digest
}

/** Makes a stretch of the target's table hold exactly these rows. */
async function repair<T extends TableName>(
  target: Database,
  table: T,
  stretch: { after: Key | undefined; upTo: Key },
  rows: readonly Tables[T][],
): Promise<void> {
  const there = new TableDigest(table)
  for await (const page of pagesOf(target.kysely, table, stretch)) there.add(page)
  if (there.digest() === digestOf(table, rows)) return
  // Should the run end between the two, the next one finds this stretch differing, or not there, and repairs it.
  await target.kysely.transaction().execute(async tx => {
    await target.permit(tx, 'copy')
    await removeRows(tx, table, stretch)
  })
  await insert(target, table, rows)
}

async function insert<T extends TableName>(
  target: Database,
  table: T,
  rows: readonly Tables[T][],
): Promise<void> {
  try {
    await target.ensureStorageFor(table, rows)
    await target.batch(batch => batch.insert(table, rows))
  } catch (error) {
    if (error instanceof SteleError || target.classify(error) !== 'rejected') throw error
    throw new SteleError('copy_failed', { table, reason: reasonOf(error) }, { cause: error })
  }
}

async function checkTable(
  copy: Kysely<Tables>,
  table: TableName,
  original: TableDigest,
  onRows: (rows: number) => void,
): Promise<TableCopy> {
  const digest = new TableDigest(table)
  for await (const rows of pagesOf(copy, table)) {
    digest.add(rows)
    onRows(rows.length)
  }
  return { table, rows: original.rows, difference: differenceOf(original, digest) }
}

function differenceOf(original: TableDigest, digest: TableDigest): string | undefined {
  if (original.rows !== digest.rows) return `the source has ${original.rows} rows, the target ${digest.rows}`
  return original.digest() === digest.digest() ? undefined : 'the rows differ in content'
}
