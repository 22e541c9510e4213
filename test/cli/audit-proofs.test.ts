import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { checkpointLine } from '../../src/audit/export-line.ts'
import { noteEvents, vkeysOf } from '../harness/audited.ts'
import { removeLogKeys } from '../harness/begun-log.ts'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { dropGuards } from '../harness/guards.ts'
import { runJson, runStele } from './run-stele.ts'

async function start(events = 30) {
  const place = await sqlitePlace()
  const stele = await place.stele()
  await noteEvents(stele, events)
  const [vkey = ''] = await vkeysOf(stele)
  const folder = await temporaryFolder()
  const run = (...args: string[]) => runStele(['audit', ...args], { place })
  /** Where there is no database. */
  const runAway = (...args: string[]) => runStele(['audit', ...args], { cwd: folder })
  return { place, stele, vkey, folder, run, runAway, file: (name: string) => join(folder, name) }
}

test('verify looks at the database, keeps a checkpoint, goes on from it and names what is wrong', async () => {
  const { place, stele, run, file } = await start()
  const whole = await run('verify', '--save', file('kept'))
  expect(whole).toMatchObject({ code: 0 })
  expect(whole.stdout).toMatch(/^Verified: 3\d entries and \d+ checkpoints, the newest of 3\d entries\.\n$/)
  expect(readFileSync(file('kept'), 'utf8')).toMatch(/^stele\/[0-9a-f]+\n3\d\n/)
  expect(statSync(file('kept')).mode & 0o777).toBe(0o600)
  await noteEvents(stele, 5)
  const later = await runJson<{ entries: number; size: number }>(
    ['audit', 'verify', '--checkpoint', file('kept'), '--incremental', '--save', file('kept')],
    { place },
  )
  expect(later).toMatchObject({ verified: true, fault: null, pending: 0 })
  // Opening a store may be on record too.
  expect(later.entries).toBeGreaterThanOrEqual(5)
  expect(later.size).toBeGreaterThanOrEqual(35)
  expect(readFileSync(file('kept'), 'utf8')).toContain(`\n${later.size}\n`)
  expect(await run('verify', '--incremental')).toMatchObject({ code: 2, stdout: '' })

  await dropGuards(stele.database)
  await stele.database.kysely
    .updateTable('audit_events')
    .set({ actor: 'mallory' })
    .where('target', '=', 'thing-17')
    .execute()
  const changed = await run('verify')
  expect(changed).toMatchObject({ code: 1, stdout: '' })
  expect(changed.stderr).toMatch(
    /^stele: Not verified: entry 17, event evt_\w+: the event is not the one that the log has taken in\n$/,
  )
  const told = await run('verify', '--json')
  expect(told.code).toBe(1)
  expect(JSON.parse(told.stdout)).toMatchObject({ verified: false, fault: { index: 17, line: null } })
})

test('a log that was taken away with its keys is told of, and no other is begun', async () => {
  const { place, stele, run } = await start()
  const { database } = stele
  await removeLogKeys(database)
  await dropGuards(database)
  for (const table of [
    'audit_log',
    'audit_tiles',
    'audit_checkpoints',
    'audit_queue',
    'audit_events',
  ] as const)
    await database.kysely.deleteFrom(table).execute()
  await stele.close()
  for (let turn = 0; turn < 2; turn++) {
    const verified = await run('verify')
    expect(verified).toMatchObject({ code: 1, stdout: '' })
    expect(verified.stderr).toContain('Not verified: the log that this database had is gone')
  }
  expect(await run('key')).toMatchObject({ stdout: '' })
  expect((await runStele(['users', 'create', 'ada'], { place })).code).toBe(0)
})

test('an export is a new file for its owner alone, and verified where there is no database', async () => {
  const { vkey, run, runAway, file, folder } = await start()
  const out = file('audit.jsonl')
  expect((await run('export', '--output', out)).stderr).toMatch(/^Exported (3\d) of \1 events\.\n$/)
  expect(statSync(out).mode & 0o777).toBe(0o600)
  expect(await run('export', '--output', out)).toMatchObject({ code: 1 })
  expect(await run('export', '--output', out, '--force')).toMatchObject({ code: 0 })
  expect((await run('export')).stdout.split('\n').length).toBeGreaterThan(32)

  const verified = await runAway('verify', '--from', out, '--key', vkey)
  expect(verified.stderr).toBe('')
  expect(verified.stdout).toMatch(/^Verified: (3\d) entries and 1 checkpoints, the newest of \1 entries\.\n$/)
  expect(
    (
      await runStele(['audit', 'verify', '--from', '-', '--key', vkey], {
        cwd: folder,
        input: readFileSync(out),
      })
    ).code,
  ).toBe(0)
  expect(await runAway('verify', '--from', out)).toMatchObject({ code: 2, stdout: '' })
  expect(await runAway('verify', '--from', out, '--key', 'nonsense')).toMatchObject({ code: 1 })
  expect(await runAway('verify', '--from', file('nothing'), '--key', vkey)).toMatchObject({ code: 1 })

  // As daily files: cut anywhere, one after the other.
  const lines = readFileSync(out, 'utf8').trimEnd().split('\n')
  writeFileSync(file('1'), lines.slice(1, 12).join('\n'))
  writeFileSync(file('2'), `${lines.slice(12).join('\n')}\n`)
  expect(await runAway('verify', '--from', file('1'), file('2'), '--key', vkey)).toMatchObject({ code: 0 })
  expect(await runAway('verify', '--from', file('2'), file('1'), '--key', vkey)).toMatchObject({ code: 1 })

  writeFileSync(out, lines.with(20, (lines[20] ?? '').replace('"outcome":"', '"outcome":"not ')).join('\n'))
  const changed = await runAway('verify', '--from', out, '--key', vkey)
  expect(changed.code).toBe(1)
  expect(changed.stderr).toMatch(
    /^stele: Not verified: entry 18, event evt_\w+, line 21 of \S+audit\.jsonl: the event is not /,
  )
  const told = await runAway('verify', '--from', out, '--key', vkey, '--json')
  expect(JSON.parse(told.stdout)).toMatchObject({
    verified: false,
    fault: { index: 18, line: 21, file: out },
  })

  const selection = await run('export', '--user', 'user-1')
  expect(selection.stderr).toContain('Nothing proves that a selection has all.')
  writeFileSync(out, selection.stdout)
  expect((await runAway('verify', '--from', out, '--key', vkey)).stdout).toMatch(
    /^Verified: 1\d events of a log of 3\d\. It is a selection: there may be others\.\n$/,
  )
})

test('an event is proven to whoever has the public key', async () => {
  const { stele, vkey, run, runAway, file } = await start()
  const [event] = await stele.auditEvents.list({ action: 'app.created', limit: 1 })
  const proven = await run('prove', event?.id ?? '', '--output', file('proof.json'))
  expect(proven).toMatchObject({ code: 0, stdout: '' })
  expect(proven.stderr).toContain(`The event ${event?.id} is entry 28 of the log: `)
  const verified = await runAway('verify-proof', file('proof.json'), '--key', vkey)
  expect(verified).toMatchObject({ code: 0, stderr: '' })
  expect(verified.stdout).toContain(`Verified: The event ${event?.id} is entry 28 of the log stele/`)
  // With the database at hand its keys are taken.
  expect(await run('verify-proof', file('proof.json'))).toMatchObject({ code: 0 })
  const changed = readFileSync(file('proof.json'), 'utf8').replace('"actor": "', '"actor": "not ')
  writeFileSync(file('proof.json'), changed)
  expect((await runAway('verify-proof', file('proof.json'), '--key', vkey)).stderr).toMatch(
    /^stele: Not verified: entry 28, event evt_\w+: the event is not the one/,
  )
  expect(await run('prove', 'evt_01h455vb4pex5vsknk084sn02q')).toMatchObject({ code: 1, stdout: '' })
})

test('a file that is none is told of in one line, however long it is', async () => {
  const { vkey, run, runAway, file } = await start(3)
  for (const name of ['zeros', 'line']) writeFileSync(file(name), name === 'line' ? '{}\n' : '')
  // Nothing is on the disk of what is not written.
  for (const name of ['zeros', 'line']) truncateSync(file(name), 300_000_000)
  const away = ['--from', file('line'), '--key', vkey]
  const told = await runAway('verify', ...away)
  expect(told).toMatchObject({ code: 1, stdout: '' })
  expect(told.stderr).toBe(
    `stele: Not verified: entry 0, line 1 of ${file('line')}: it is none of the lines of an export\n`,
  )
  expect((await run('export', '--output', file('whole'))).code).toBe(0)
  const second = await runAway('verify', '--from', file('whole'), file('zeros'), '--key', vkey)
  expect(second).toMatchObject({ code: 1, stdout: '' })
  expect(second.stderr).toBe(
    `stele: Not verified: line 1 of ${file('zeros')}: it is longer than 16 MiB, as no line of an export is\n`,
  )
  const kept = ['verify', '--from', file('whole'), '--key', vkey, '--checkpoint', file('zeros')]
  for (const [args, length] of [
    [kept, '64 KiB, as no checkpoint is'],
    [['verify-proof', file('zeros'), '--key', vkey], '1 MiB, as no proof is'],
  ] as const) {
    const refused = await runAway(...args)
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toMatch(/^stele: [^\n]+\n$/)
    expect(refused.stderr).toContain(`${file('zeros')}`)
    expect(refused.stderr).toContain(`it is longer than ${length}`)
  }
  expect((await run('consistency', file('zeros'), '3')).stderr).toContain('it is longer than 64 KiB')
  // Deep in brackets, as nobody writes it.
  writeFileSync(file('deep'), `{"audit_proof":1,"entry":{"x":${'['.repeat(300_000)}${']'.repeat(300_000)}}}`)
  const deep = await runAway('verify-proof', file('deep'), '--key', vkey)
  expect(deep).toMatchObject({ code: 1, stdout: '' })
  expect(deep.stderr).toMatch(/^stele: Not verified: [^\n]+\n$/)
})

test('consistency is proven between sizes and kept checkpoints', async () => {
  const { stele, vkey, run, runAway, file } = await start()
  await run('verify', '--save', file('kept'))
  await noteEvents(stele, 6)
  const proven = await run('consistency', file('kept'), '36', '--output', file('proof.json'))
  expect(proven).toMatchObject({ code: 0, stdout: '' })
  expect(proven.stderr).toMatch(/Consistent: the log of 36 entries begins with that of 3\d/)
  const verified = await runAway('verify-proof', file('proof.json'), '--key', vkey)
  expect(verified.stdout).toMatch(/^Verified: The log stele\/\w+ of 36 entries begins with that of 3\d/)
  expect(JSON.parse((await run('consistency', '0', '7')).stdout)).toMatchObject({
    from: { size: 0 },
    proof: [],
  })
  expect(await run('consistency', '7', '99')).toMatchObject({ code: 1, stdout: '' })
  expect(await run('consistency', '9', '7')).toMatchObject({ code: 2, stdout: '' })
  writeFileSync(file('other'), readFileSync(file('kept'), 'utf8').replace(/\n3\d\n/, '\n29\n'))
  expect((await run('consistency', file('other'), '36')).stderr).toContain('The checkpoint is not valid')
})

test('events are written for programs that collect them', async () => {
  const { run } = await start(6)
  const events = async (format: string): Promise<Record<string, unknown>[]> =>
    (await run('export', '--format', format)).stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
  const ocsf = await events('ocsf')
  expect(ocsf.length).toBeGreaterThanOrEqual(6)
  expect(ocsf[1]).toMatchObject({
    activity_id: 99,
    class_uid: 6003,
    category_uid: 6,
    type_uid: 600_399,
    severity_id: 1,
    status_id: 2,
    status_detail: 'denied',
    time: expect.any(Number),
    metadata: { version: '1.3.0', product: { vendor_name: 'Stele' }, sequence: 1 },
    actor: { user: { name: 'operator', type_id: 2 } },
    api: { operation: 'app.denied' },
    src_endpoint: { svc_name: expect.stringMatching(/^stele\//) },
    resources: [{ uid: 'thing-1', owner: { uid: 'user-1' } }],
  })
  expect(ocsf[2]).toMatchObject({ activity_id: 1, activity_name: 'Create', type_uid: 600_301, status_id: 1 })
  const cloud = await events('cloudevents')
  expect(cloud.length).toBeGreaterThanOrEqual(6)
  expect(cloud[1]).toMatchObject({
    specversion: '1.0',
    id: '1',
    source: expect.stringMatching(/^stele\//),
    type: 'stele.audit.app.denied',
    subject: 'thing-1',
    datacontenttype: 'application/json',
    data: { index: 1, event: { action: 'app.denied', user_id: 'user-1', v: 1 } },
  })
  expect(new Date(String(cloud[1]?.['time'])).getTime()).toBe(ocsf[1]?.['time'])
})

test('a database that is not the one of a checkpoint outside is verified, exported and proven to nobody', async () => {
  const { stele, file } = await start()
  const older = await start(2)
  await stele.auditLog.sequence()
  writeFileSync(file('outside'), `${checkpointLine((await stele.auditLog.latest())?.note ?? '')}\n`)
  const env = { AUDIT_CHECKPOINT_FILE: file('outside') }
  const ask = (...args: string[]) => runStele(['audit', ...args], { place: older.place, env })
  expect((await older.run('verify')).code).toBe(0)
  const verified = await ask('verify')
  expect(verified).toMatchObject({ code: 1, stdout: '' })
  expect(verified.stderr).toMatch(/^stele: Not verified: .*checkpoint/)
  expect(JSON.parse((await ask('verify', '--json')).stdout)).toMatchObject({ verified: false })
  expect((await ask('export', '--output', file('e.jsonl'))).code).toBe(1)
  expect((await ask('consistency', '1', '2')).code).toBe(1)
})
