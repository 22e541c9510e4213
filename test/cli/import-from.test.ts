import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ForeignReport } from '../../src/moving/foreign/report.ts'
import { postgresPlace, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { foreignPlace } from '../harness/foreign.ts'
import { fernetKey, fills } from '../harness/foreign-rows.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { runJson, runStele, startStele } from './run-stele.ts'

const sessions = JSON.stringify([
  {
    session_id: 's',
    messages: [{ role: 'user', content: 'Hi' }, { role: 'ghost', content: '?' }, { role: 'wizard' }],
  },
])

test('import --from tells what became of every row, as a table and as JSON', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const cwd = await temporaryFolder()
  await writeFile(join(cwd, 'my sessions.json'), sessions)
  const args = ['import', '--from', 'my sessions.json', '--user', 'ada']
  const dry = await runStele([...args, '--dry-run'], { place, cwd })
  expect(dry.stderr).toContain('2 records would be new, 0 are here already. Nothing was written.\n')
  expect(await countOf(stele, 'messages')).toBe(0)
  const done = await runStele(args, { place, cwd })
  expect(done).toMatchObject({ code: 0, stdout: dry.stdout })
  expect(done.stdout).toBe(
    [
      'TABLE     ROWS  MAPPED  SKIPPED  WHY',
      'messages     3       1        2  its role is none that is known',
      'sessions     1       1        0  -',
      '',
    ].join('\n'),
  )
  expect(done.stderr).toContain('my sessions.json was taken for sessions-json.\n')
  expect(done.stderr).toContain('Imported 2 records; 0 were here already.\n')
  expect(await runJson<ForeignReport>([...args, '--as', 'sessions-json'], { place, cwd })).toMatchObject({
    format: 'sessions-json',
    imported: 0,
    present: 2,
    tables: [{ table: 'messages', rows: 3, mapped: 1 }, { table: 'sessions' }],
  })
})

test('import --from takes a key from a file, and says what is wrong with what it is given', async () => {
  const place = await postgresPlace()
  const stele = await place.stele()
  const source = await foreignPlace('synthlang', 'SQLite file')
  await fills.synthlang(source)
  const cwd = await temporaryFolder()
  await writeFile(join(cwd, 'router.key'), `${fernetKey}\n`)
  const { from } = source.options
  const report = await runJson<ForeignReport>(['import', '--from', from, '--source-key', 'router.key'], {
    place,
    cwd,
  })
  expect(JSON.stringify(report)).not.toContain('encrypted')
  const calls = await rowsOf(stele, 'llm_requests')
  expect(calls.length).toBe(7)
  const [call] = await stele.calls.list({ limit: 1 })
  const shown = await runStele(['calls', 'show', call?.id ?? ''], { place, cwd })
  expect(shown).toMatchObject({ code: 0, stderr: '' })
  expect(shown.stdout).toContain('synthlang')
  const wrong = async (...args: string[]): Promise<string> => {
    const { code, stderr, stdout } = await runStele(['import', ...args], { place, cwd })
    expect(stdout).toBe('')
    expect(code).toBeGreaterThan(0)
    return stderr
  }
  expect(await wrong()).toContain('Name a file that export wrote, or with --from another source.')
  expect(await wrong('--from', from, '--as', 'excel')).toContain(
    'Allowed choices are auto, chatgpt, sessions-json',
  )
  expect(await wrong('--from', 'nowhere.zip')).toMatch(
    /^stele: The source nowhere\.zip cannot be read: ENOENT/,
  )
  await writeFile(join(cwd, 'bad.key'), 'no key')
  expect(await wrong('--from', from, '--source-key', 'bad.key')).toContain('a key is 32 bytes in base64url')
})

test('an import that is killed is finished by running it again', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const source = await foreignPlace('chat-coach', 'SQLite file')
  const many = 4_000
  await source.run('BEGIN')
  for (let index = 0; index < many; index++)
    await source.insert('messages', [
      {
        session_id: `s${index % 40}`,
        user_id: 'ada',
        role: 'user',
        content: `message ${index} ${'x'.repeat(500)}`,
        created_at: '2024-01-01',
      },
    ])
  await source.run('COMMIT')
  const args = ['import', '--from', source.options.from, '--as', 'chat-coach']
  const running = await startStele(args, { place })
  await expect.poll(() => countOf(stele, 'messages'), { interval: 5 }).toBeGreaterThan(0)
  await running.stop('SIGKILL')
  const before = await countOf(stele, 'messages')
  expect(before).toBeLessThan(many)
  const report = await runJson<ForeignReport>(args, { place })
  expect(report.present).toBeGreaterThanOrEqual(before)
  expect(report.imported + report.present).toBe(many + 40)
  const rows = await rowsOf(stele, 'messages')
  expect(rows.length).toBe(many)
  for (const { next_seq } of await rowsOf(stele, 'conversations')) expect(next_seq).toBe(many / 40)
})
