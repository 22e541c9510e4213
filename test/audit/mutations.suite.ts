import { generateKeyPairSync } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { checkpointText } from '../../src/audit/checkpoint.ts'
import { canonicalEvent, commitEvent, logEntry } from '../../src/audit/event-form.ts'
import { appendToTiles } from '../../src/audit/log/append-tiles.ts'
import { Frontier, leafHash } from '../../src/audit/merkle.ts'
import { signNote } from '../../src/audit/note.ts'
import { formatVkey, parseVkey } from '../../src/audit/note-keys.ts'
import { type LogVerdict, type VerifyLogOptions, verifyLog } from '../../src/audit/verify/store.ts'
import type { Row } from '../../src/db/tables.ts'
import { SteleError } from '../../src/errors.ts'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import { guardId } from '../../src/store/secrets.ts'
import { guardOfLog } from '../harness/begun-log.ts'
import { exchange, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { dropGuards } from '../harness/guards.ts'
import { type LogRows, logTables, readLogRows, type Stored, sameRows, writeLogRows } from './log-rows.ts'
import { mutate, rolledBack } from './mutations.ts'

/** How many changes are tried; more of them with the environment variable. */
const changes = Number(process.env['MUTATIONS'] ?? 200)

/** Events beside those of calls: more than a tile holds, where there is time for it. */
const notes = changes > 1_000 ? 300 : 40

interface Scene {
  readonly stele: Stele
  readonly masterKey: string
  readonly rows: LogRows
  /** Notes that were kept outside, and the public keys. */
  readonly kept: Required<Pick<VerifyLogOptions, 'keys' | 'checkpoints'>>
}

/** A log of all kinds of events: two keys, several checkpoints, a user who was erased. Its guards are dropped. */
async function scene(bed: Bed): Promise<Scene> {
  const place = await bed.place()
  const stele = await place.stele({ audit: { sequence: false } })
  const note = (userId: string, index: number) =>
    stele.auditEvents.add({ userId, by: operator, action: 'app.test', details: { index } })
  await stele.auditLog.sequence()
  await exchange(stele, [user('one')], 'to one')
  await exchange(stele, [user('two')], 'to two', { userId: 'bob' })
  await stele.auditLog.sequence()
  for (let at = 0; at < notes; at++) {
    await note(at % 3 === 0 ? 'ada' : 'bob', at)
    if (at % 16 === 15) await stele.auditLog.sequence()
    if (at === 20) await stele.auditLog.rotateKey()
  }
  await stele.erase('ada', { reason: 'as asked' })
  await stele.auditLog.sequence()
  await dropGuards(stele.database)
  // As an owner can: two entries of one event are then refused by nobody.
  await sql`DROP INDEX audit_log_event`.execute(stele.database.kysely)
  const checkpoints = await stele.auditLog.checkpoints({ limit: 100 })
  const keys = await stele.auditLog.keys()
  return {
    stele,
    masterKey: place.masterKey,
    rows: await readLogRows(stele.database.kysely),
    kept: {
      keys: keys.map(({ vkey }) => vkey),
      checkpoints: [checkpoints[2], checkpoints.at(-1)].flatMap(one => one?.note ?? []),
    },
  }
}

type Outcome = LogVerdict | 'refused' | SteleError

/** What a verification says of the rows, which are put in the place of those that are there and taken back. */
async function verdictOn(
  { stele, rows }: Scene,
  changed: LogRows,
  options: VerifyLogOptions,
): Promise<Outcome> {
  const undone = new Error('undone')
  let outcome: Outcome = 'refused'
  await stele.database.kysely
    .transaction()
    .execute(async tx => {
      await writeLogRows(tx, rows, changed).catch(() => {
        throw undone
      })
      const database = { ...stele.database, snapshot: <R>(work: (db: typeof tx) => Promise<R>) => work(tx) }
      outcome = await verifyLog(database, options).catch((error: unknown) => {
        if (error instanceof SteleError) return error
        throw error
      })
      throw undone
    })
    .catch((error: unknown) => {
      if (error !== undone) throw error
    })
  return outcome
}

const isNoticed = (outcome: Outcome): boolean =>
  outcome === 'refused' || outcome instanceof SteleError || !outcome.verified

/** Rows as they would be, had the log been written by somebody who has all but the key that signs. */
function rewritten(rows: LogRows, origin: string, change: (event: Stored) => Stored): LogRows {
  const forger = generateKeyPairSync('ed25519')
  const vkey = formatVkey(origin, forger.publicKey)
  const events = rows.audit_events.map(change)
  const byName = new Map(events.map(row => [`${row['id']} ${row['user_id']}`, row]))
  const tiles = new Map<string, { level: number; tile: number; hashes: Buffer }>()
  const frontier = new Frontier()
  const checkpoints: Stored[] = []
  const log = rows.audit_log.map((entry, at) => {
    const event = byName.get(`${entry['event_id']} ${entry['user_id']}`)
    const isChanged = event !== rows.audit_events.find(row => row['id'] === entry['event_id'])
    const commitment =
      event === undefined || !isChanged
        ? (entry['commitment'] as Buffer)
        : commitEvent(entry['salt'] as Buffer, canonicalEvent(event as unknown as Row<'audit_events'>))
    const leaf = leafHash(logEntry(String(entry['event_id']), commitment))
    const last = (level: number) =>
      [...tiles.values()].filter(tile => tile.level === level).sort((a, b) => b.tile - a.tile)[0]?.hashes ??
      Buffer.alloc(0)
    for (const { level, tile, hashes } of appendToTiles(at, last, [leaf]))
      tiles.set(`${level} ${tile}`, { level, tile, hashes })
    frontier.append(leaf)
    const signed = rows.audit_checkpoints.find(({ tree_size }) => tree_size === at + 1)
    if (signed !== undefined) {
      const root = frontier.root()
      const key = { ...parseVkey(vkey), privateKey: forger.privateKey }
      const said = {
        at: Number(signed['created_at']),
        after: Number(checkpoints.at(-1)?.['tree_size'] ?? 0),
        newKeys: checkpoints.length === 0 ? [{ id: parseVkey(vkey).id, at: 1 }] : [],
      }
      const text = checkpointText({ origin, size: at + 1, root, said })
      checkpoints.push({ ...signed, root, note: signNote(text, [key]) })
    }
    return { ...entry, commitment }
  })
  const { id } = parseVkey(vkey)
  return {
    ...rows,
    audit_events: events,
    audit_log: log,
    audit_tiles: [...tiles.values()],
    audit_checkpoints: checkpoints,
    audit_keys: [{ id, vkey, created_at: 1, retired_at: null }],
    secrets: rows.secrets.map(row =>
      String(row['id']).startsWith('audit-key:') ? { ...row, id: `audit-key:${id}` } : row,
    ),
  }
}

async function findsRandomChanges(here: Scene): Promise<void> {
  const missed: string[] = []
  let tried = 0
  let byKept = 0
  for (let seed = 1; tried < changes; seed++) {
    const { name, rows } = mutate(here.rows, seed)
    if (sameRows(here.rows, rows)) continue
    const live = await verdictOn(here, rows, {})
    if (live === 'refused') continue
    tried++
    if (isNoticed(live)) continue
    byKept++
    if (!isNoticed(await verdictOn(here, rows, here.kept))) missed.push(`${seed}: ${name}`)
  }
  if (changes > 1_000) console.log(`${tried} changes, ${byKept} of them noticed with what was kept alone`)
  expect(missed).toEqual([])
}

/** An older copy is as it was signed: only what was kept outside tells that it is old. */
async function findsOlderCopies(here: Scene): Promise<void> {
  const signers = here.rows.secrets.map(({ id }) => String(id).replace('audit-key:', ''))
  const since = here.rows.audit_keys.find(({ id }) => signers.includes(String(id)))?.['created_at'] ?? 0
  let unnoticed = 0
  for (let to = 0; to < here.rows.audit_checkpoints.length - 1; to++) {
    const older = rolledBack(here.rows, to)
    if (Number(here.rows.audit_checkpoints[to]?.['created_at']) > Number(since)) {
      expect(await verdictOn(here, older, {}), `checkpoint ${to}`).toMatchObject({ verified: true })
      unnoticed++
    }
    expect(isNoticed(await verdictOn(here, older, here.kept)), `checkpoint ${to}`).toBe(true)
  }
  expect(unnoticed).toBeGreaterThan(0)
}

/** Whoever has the database, and not the master key, cannot sign. */
async function findsRewriting(here: Scene): Promise<void> {
  const { origin } = here.stele.auditLog
  const bob = here.rows.audit_events.find(
    row => row['user_id'] === 'bob' && row['details'] === null && row['action'] === 'call.settled',
  )
  expect(bob).toBeDefined()
  const forged = rewritten(here.rows, origin, row => (row === bob ? { ...row, outcome: 'failed' } : row))
  const { audit_keys, secrets } = forged
  const own = { audit_keys: here.rows.audit_keys, secrets: here.rows.secrets }
  const all = [...own.audit_keys, ...audit_keys]
  for (const [name, rows] of Object.entries({
    'its key in the place of all': forged,
    'no secret of a key': {
      ...forged,
      secrets: secrets.filter(({ id }) => !String(id).startsWith('audit-key:')),
    },
    'all keys': { ...forged, audit_keys: all, secrets: own.secrets },
    'all keys, the forged one with the secret of the true one': { ...forged, audit_keys: all, secrets },
    'the true keys': { ...forged, ...own },
    'the forged key by the name of the true one': {
      ...forged,
      audit_keys: own.audit_keys.map(row => ({ ...row, vkey: audit_keys[0]?.['vkey'] ?? '' })),
      secrets: own.secrets,
    },
  })) {
    expect(isNoticed(await verdictOn(here, rows, {})), name).toBe(true)
    expect(isNoticed(await verdictOn(here, rows, here.kept)), name).toBe(true)
  }
  // But for the key all of it is whole: nothing else gives it away than the first secret, and whose the keys are.
  const keys = audit_keys.map(({ vkey }) => String(vkey))
  expect(isNoticed(await verdictOn(here, forged, { keys }))).toBe(true)
  const wrapped = await guardOfLog(here.stele.database, here.masterKey, keys[0] ?? '')
  const withGuard = {
    ...forged,
    secrets: secrets.map(row => (row['id'] === guardId ? { ...row, wrapped_key: wrapped } : row)),
  }
  expect(await verdictOn(here, withGuard, { keys })).toMatchObject({ verified: true })
  expect(isNoticed(await verdictOn(here, withGuard, {}))).toBe(true)
}

/** Changes made straight in the database, by somebody whom nothing there refuses anything. */
export function mutationsSuite(bed: Bed): void {
  test(`${changes} changes are noticed, every one, and so are older copies and a log that was written anew`, {
    timeout: 60_000 + changes * 200,
  }, async () => {
    const here = await scene(bed)
    const untouched = await verdictOn(here, here.rows, here.kept)
    expect(untouched).toMatchObject({ verified: true, entries: here.rows.audit_log.length, pending: 0 })
    await findsRandomChanges(here)
    await findsOlderCopies(here)
    await findsRewriting(here)
    for (const table of logTables.filter(name => name.startsWith('audit_') && name !== 'audit_queue'))
      expect(isNoticed(await verdictOn(here, { ...here.rows, [table]: [] }, {})), table).toBe(true)
  })
}
