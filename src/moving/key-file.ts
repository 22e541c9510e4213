import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Kysely } from 'kysely'
import { z } from 'zod'
import type { Tables } from '../db/tables.ts'
import { reasonOf, SteleError } from '../errors.ts'
import { linesOf } from './lines.ts'
import { makeFile, notWritable } from './new-file.ts'
import { pagesOf } from './pages.ts'

/**
 * The keys of users' content as the master key wraps them, in a file of their own: a backup without it cannot be read, and
 * a user who is struck from it cannot be read in any backup that it opens. Lines of JSON; the last one has the digest of
 * those before it.
 */
const formatName = 'stele-keys'
const formatVersion = 1

const time = z.int().min(0)
const base64 = z.base64()

const header = z.strictObject({
  format: z.literal(formatName),
  version: z.literal(formatVersion),
  created_at: time,
  /** When the store's first secret was made, which tells stores apart. */
  store: time,
})

const secret = z.strictObject({
  type: z.literal('secret'),
  id: z.string(),
  wrapped_key: base64,
  master_key_id: z.string(),
  created_at: time,
})

const key = z.strictObject({
  type: z.literal('key'),
  user_id: z.string(),
  id: z.string(),
  /** Null when it is destroyed. */
  wrapped_key: base64.nullable(),
  master_key_id: z.string(),
  created_at: time,
  retired_at: time.nullable(),
  destroyed_at: time.nullable(),
})

/** Whoever was erased: in an older backup, too, they are to be. */
const erased = z.strictObject({ type: z.literal('erased'), user_id: z.string(), erased_at: time })

const record = z.discriminatedUnion('type', [secret, key, erased])
const end = z.strictObject({ type: z.literal('end'), records: z.int(), sha256: z.string() })

export type KeyFileHeader = z.infer<typeof header>
export type KeyFileRecord = z.infer<typeof record>

/** The key file that belongs to a backup. */
export function keyFileOf(backup: string): string {
  return `${backup}.keys`
}

/**
 * Writes the keys of a database. Returns how many there are that open anything.
 * @throws SteleError would_overwrite, file_not_writable
 */
export async function writeKeyFile(
  db: Kysely<Tables>,
  path: string,
  { overwrite = false }: { readonly overwrite?: boolean } = {},
): Promise<number> {
  let keys = 0
  async function* records(): AsyncGenerator<KeyFileRecord> {
    for await (const rows of pagesOf(db, 'secrets'))
      for (const row of rows) yield { type: 'secret', ...row, wrapped_key: textOf(row.wrapped_key) }
    for await (const rows of pagesOf(db, 'data_keys'))
      for (const row of rows) {
        const { user_id, id, wrapped_key, master_key_id, created_at, retired_at, destroyed_at } = row
        if (wrapped_key !== null) keys++
        const wrapped = wrapped_key === null ? null : textOf(wrapped_key)
        const facts = { master_key_id, created_at, retired_at, destroyed_at }
        yield { type: 'key', user_id, id, wrapped_key: wrapped, ...facts }
      }
    yield* erasuresIn(db)
  }
  const store = await storeMark(db)
  await makeFile(path, { overwrite }, temporary =>
    writeLines(
      temporary,
      { format: formatName, version: formatVersion, created_at: Date.now(), store },
      records(),
    ),
  )
  return keys
}

async function* erasuresIn(db: Kysely<Tables>): AsyncGenerator<KeyFileRecord> {
  for (let after = ''; ; ) {
    const rows = await db
      .selectFrom('users')
      .select(['id', 'erased_at'])
      .where('erased_at', 'is not', null)
      .where('id', '>', after)
      .orderBy('id')
      .limit(erasuresAtATime)
      .execute()
    for (const { id, erased_at } of rows)
      if (erased_at !== null) yield { type: 'erased', user_id: id, erased_at }
    const last = rows.at(-1)
    if (rows.length < erasuresAtATime || last === undefined) return
    after = last.id
  }
}

const erasuresAtATime = 1_000

/** When a store's first secret was made, in milliseconds since 1970; 0 when it has none. */
export async function storeMark(db: Kysely<Tables>): Promise<number> {
  const row = await db
    .selectFrom('secrets')
    .select(['created_at'])
    .where('id', '=', 'conversation-hashes')
    .executeTakeFirst()
  return row?.created_at ?? 0
}

/** Reads a key file from end to end. @throws SteleError key_file_invalid */
export async function checkKeyFile(path: string): Promise<KeyFileHeader> {
  let first: KeyFileHeader | undefined
  for await (const item of itemsOf(path)) if (first === undefined && 'format' in item) first = item
  if (first === undefined) throw invalid(path, 'it is empty')
  return first
}

/** The records of a key file that has been checked. @throws SteleError key_file_invalid */
export async function* recordsOf(path: string): AsyncGenerator<KeyFileRecord> {
  for await (const item of itemsOf(path)) if ('type' in item) yield item
}

/**
 * Takes the keys of a user out of a key file, in one step: it is written anew and put in the old one's place, whose bytes
 * are then overwritten. Returns how many there were. @throws SteleError key_file_invalid, file_not_writable
 */
export async function strikeFromKeyFile(path: string, userId: string, at: number): Promise<number> {
  const first = await checkKeyFile(path)
  let struck = 0
  async function* left(): AsyncGenerator<KeyFileRecord> {
    for await (const item of recordsOf(path)) {
      const isTheirs = item.type === 'key' && item.user_id === userId && item.wrapped_key !== null
      if (isTheirs) struck++
      yield isTheirs ? { ...item, wrapped_key: null, destroyed_at: at } : item
    }
    yield { type: 'erased', user_id: userId, erased_at: at }
  }
  const former = await open(path, 'r+').catch(error => Promise.reject(notWritable(path, error)))
  try {
    await makeFile(path, { overwrite: true }, temporary => writeLines(temporary, first, left()))
    const { size } = await former.stat()
    for (let done = 0; done < size; done += zeros.byteLength)
      await former.write(zeros, 0, Math.min(zeros.byteLength, size - done), done)
    await former.sync()
  } finally {
    await former.close()
  }
  return struck
}

const zeros = Buffer.alloc(64 * 1024)

async function writeLines(
  path: string,
  first: KeyFileHeader,
  records: AsyncIterable<KeyFileRecord>,
): Promise<void> {
  const digest = createHash('sha256')
  try {
    await using file = await open(path, 'wx', 0o600)
    const write = async (value: object): Promise<void> => {
      const line = `${JSON.stringify(value)}\n`
      digest.update(line)
      await file.write(line)
    }
    await write(first)
    let count = 0
    for await (const item of records) {
      await write(item)
      count++
    }
    await file.write(`${JSON.stringify({ type: 'end', records: count, sha256: digest.digest('hex') })}\n`)
    await file.sync()
  } catch (error) {
    throw (error as NodeJS.ErrnoException).syscall === undefined ? error : notWritable(path, error)
  }
}

/** The header and the records; raises unless the last line says that these are all and as they were written. */
async function* itemsOf(path: string): AsyncGenerator<KeyFileHeader | KeyFileRecord> {
  const digest = createHash('sha256')
  let records = -1
  let isWhole = false
  try {
    for await (const { bytes } of linesOf(createReadStream(path))) {
      if (bytes === undefined || isWhole) throw invalid(path, 'it is damaged')
      const value: unknown = JSON.parse(bytes.toString('utf8'))
      const last = end.safeParse(value)
      if (last.success) {
        isWhole = last.data.records === records && last.data.sha256 === digest.digest('hex')
        if (!isWhole) throw invalid(path, 'it was changed')
        continue
      }
      digest.update(bytes).update('\n')
      const item = records === -1 ? header.safeParse(value) : record.safeParse(value)
      if (!item.success) throw invalid(path, records === -1 ? 'it is no key file' : 'it is damaged')
      records++
      yield item.data
    }
  } catch (error) {
    if (error instanceof SteleError) throw error
    throw invalid(path, error instanceof SyntaxError ? 'it is no key file' : reasonOf(error), error)
  }
  if (!isWhole) throw invalid(path, 'it is cut short')
}

function invalid(path: string, reason: string, cause?: unknown): SteleError {
  return new SteleError('key_file_invalid', { path, reason }, cause === undefined ? {} : { cause })
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
