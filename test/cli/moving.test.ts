import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { assistant, exchange, reproduced, user } from '../harness/chat.ts'
import {
  describeEachPair,
  postgresPlace,
  sqlitePlace,
  temporaryFolder,
  withKeyOf,
} from '../harness/databases.ts'
import { recordOddities } from '../harness/odd-record.ts'
import { countOf } from '../harness/rows.ts'
import { runJson, runStele } from './run-stele.ts'

test('backup and restore: what was written, what is needed with it, and the same store again', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const { call, request } = await exchange(stele, [user('keep')], 'kept')
  const cwd = await temporaryFolder()
  const backup = await runStele(['backup', 'b.db'], { place, cwd })
  expect(backup).toMatchObject({ code: 0, stdout: 'b.db\n' })
  const { size } = await stat(join(cwd, 'b.db'))
  expect(backup.stderr).toContain(`Backed up 1 calls and 2 messages of 1 conversations, ${size} bytes.\n`)
  expect(backup.stderr).toContain('keep STELE_MASTER_KEY too')
  expect(await runStele(['backup', 'b.db'], { place, cwd })).toMatchObject({
    code: 1,
    stdout: '',
    stderr: 'stele: b.db is there already and is kept. To replace it: --force\n',
  })
  expect(await runJson(['backup', 'b.db', '--force'], { place, cwd })).toMatchObject({
    calls: 1,
    messages: 2,
  })

  const busy = await runStele(['restore', 'b.db', '--force'], { place, cwd })
  expect(busy.code).toBe(1)
  expect(busy.stderr).toMatch(/^stele: Another process has the database .* open\. Stop it first\.\n$/)
  const to = `sqlite:${join(cwd, 'new', 'stele.db')}`
  const restored = await runStele(['restore', 'b.db', '--to', to], { place, cwd })
  expect(restored).toMatchObject({ code: 0, stdout: `${join(cwd, 'new', 'stele.db')}\n` })
  expect(restored.stderr).toContain('Restored 1 calls and 2 messages of 1 conversations.\n')
  expect(restored.stderr).toContain('The master key: STELE_MASTER_KEY opens this database.\n')
  const shown = await runStele(['calls', 'show', call.callId, '--request', '--database', to], { place, cwd })
  expect(shown.stdout).toBe(request)
  expect((await runStele(['restore', 'b.db', '--to', to], { place, cwd })).stderr).toContain('--force')
})

test('a backup without its key file says which key is missing', async () => {
  const cwd = await temporaryFolder()
  await runStele(['migrate', 'up'], { cwd })
  await runStele(['users', 'create', 'ada'], { cwd })
  const backup = await runStele(['backup', 'b.db'], { cwd })
  expect(backup.stderr).toContain('keep .stele/master.key too')
  const restored = await runStele(['restore', 'b.db', '--to', 'sqlite:elsewhere/stele.db'], { cwd })
  expect(restored.code).toBe(0)
  expect(restored.stderr).toContain('elsewhere/master.key is missing, and the database was made with one')
})

test('backup of a database that is not there makes none; what is no file says how it is done', async () => {
  const cwd = await temporaryFolder()
  const none = await runStele(['backup', 'b.db'], { cwd })
  expect(none).toMatchObject({ code: 1, stdout: '' })
  expect(none.stderr).toContain('There is no database')
  expect(await readdir(cwd)).toEqual([])
  const place = await postgresPlace()
  await place.stele()
  const elsewhere = await runStele(['backup', 'b.db'], { place, cwd })
  expect(elsewhere).toMatchObject({ code: 1, stdout: '' })
  expect(elsewhere.stderr).toContain('pg_dump --format=custom --file=stele.dump "$DATABASE_URL"')
  await writeFile(join(cwd, 'b.db'), 'x')
  const restored = await runStele(['restore', 'b.db'], { place, cwd })
  expect(restored.code).toBe(2)
  expect(restored.stderr).toContain('stele copy --from sqlite:b.db --to URL')
})

describeEachPair('stele copy, export and import', (from, to) => {
  test('copy prints every table, and what it copied serves', async () => {
    const source = await from.place()
    const target = withKeyOf(await to.place(), source)
    const stele = await source.stele()
    const { call } = await exchange(stele, [user('one')], 'a')
    const schemas = [
      ...(source.schema === undefined ? [] : ['--from-schema', source.schema]),
      ...(target.schema === undefined ? [] : ['--to-schema', target.schema]),
    ]
    const args = ['copy', '--from', source.databaseUrl, '--to', target.databaseUrl, ...schemas]
    const copied = await runStele(args)
    expect(copied.stderr).toContain('Source and target hold the same.')
    expect(copied.stderr).not.toContain('\u001b')
    expect(copied.code).toBe(0)
    expect(copied.stdout).toMatch(/^TABLE +ROWS +SAME\n/)
    expect(copied.stdout).toMatch(/^messages +2 +yes$/m)
    const copy = await target.stele()
    const next = await exchange(copy, [user('one'), assistant('a'), user('two')], 'b')
    expect(next.call.conversationId).toBe(call.conversationId)
    const again = await runStele(args)
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toMatch(
      /^(?:stele: warning: a password [^\n]+\n)?stele: The database .* holds data already\. A copy needs an empty one\.\n$/,
    )
    expect(again.stderr).not.toContain('stele:stele@')
  })

  test('export to a file and through a pipe; import tells what is new', async () => {
    const source = await from.place()
    const target = await to.place()
    const calls = await recordOddities(await source.stele())
    const cwd = await temporaryFolder()
    const toFile = await runStele(['export', 'record.jsonl'], { place: source, cwd })
    expect(toFile).toMatchObject({ code: 0, stdout: '' })
    expect((await stat(join(cwd, 'record.jsonl'))).mode & 0o777).toBe(0o600)
    const text = await readFile(join(cwd, 'record.jsonl'), 'utf8')
    const piped = await runStele(['export'], { place: source, cwd })
    // Each export tells of itself too: the second of both.
    const records = (lines: string) =>
      lines
        .split('\n')
        .filter(line => !/"record\.exported"|"type":"end"/.test(line))
        .slice(1)
    expect(records(piped.stdout)).toEqual(records(text))
    expect((await runStele(['export', 'record.jsonl'], { place: source, cwd })).stderr).toContain('--force')

    await target.stele()
    const imported = await runStele(['import', 'record.jsonl'], { place: target, cwd })
    expect(imported.code).toBe(0)
    const again = await runJson<object>(['import', 'record.jsonl'], { place: target, cwd })
    expect(again).toEqual({ imported: 0, present: text.split('\n').length - 3, refused: 0 })
    const copy = await target.stele()
    expect(await countOf(copy, 'llm_requests')).toBe(calls.length)
    for (const { callId, userId, request } of calls)
      expect((await reproduced(copy, callId, userId)).request).toBe(request)

    await writeFile(join(cwd, 'bad.jsonl'), text.replace('\n{"type":"user"', '\n{"type":"usr"'))
    const stopped = await runStele(['import', 'bad.jsonl'], { place: target, cwd })
    expect(stopped).toMatchObject({ code: 1, stdout: '' })
    expect(stopped.stderr).toMatch(/^stele: Line 2 cannot be imported: type: .*\n$/)
    const skipped = await runStele(['import', 'bad.jsonl', '--keep-going', '--json'], { place: target, cwd })
    expect(skipped.code).toBe(1)
    expect(skipped.stderr).toContain('Line 2 cannot be imported')
    expect(skipped.stderr).toMatch(/stele: Lines that could not be imported: 1\n$/)
    expect(JSON.parse(skipped.stdout)).toMatchObject({ refused: 1 })
  })
})

test('export of a user there is not, and import of a file there is not', async () => {
  const place = await sqlitePlace()
  await place.stele()
  expect(await runStele(['export', '--user', 'nobody'], { place })).toMatchObject({
    code: 1,
    stdout: '',
    stderr: "stele: There is no user 'nobody'.\n",
  })
  expect(await runStele(['import', 'none.jsonl'], { place })).toMatchObject({
    code: 2,
    stderr: 'stele: There is no file none.jsonl.\n',
  })
})
