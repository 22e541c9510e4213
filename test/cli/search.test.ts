import { spawn } from '@lydell/node-pty'
import { expect, onTestFinished, test } from 'vitest'
import { indexed, say } from '../conformance/search.suite.ts'
import { exchange, user } from '../harness/chat.ts'
import { describeEachDatabase, type Place, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { packed } from '../harness/packed.ts'
import { runJson, runStele } from './run-stele.ts'

describeEachDatabase('stele search', bed => {
  test('prints hits with their snippets, as JSON too, page by page', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const conversation = await say(stele, ['The red house', 'the blue house \u001b[31m', 'a tree'])
    await indexed(stele)
    const args = ['search', 'house', '--user', 'ada']
    const all = await runStele(args, { place })
    expect(all).toMatchObject({ code: 0, stderr: '' })
    const heading = (seq: number) => `── ${conversation} · ${seq} user · \\S+Z ──\n`
    expect(all.stdout).toMatch(
      new RegExp(`^${heading(0)}The red house\n\n${heading(1)}the blue house .*x1b\\[31m\n$`),
    )
    expect(await runStele(['search', '-blue', 'house', '--user', 'ada'], { place })).toMatchObject({
      code: 2,
    })
    const first = await runStele(['search', '"red', 'house"', '--user', 'ada'], { place })
    expect(first.stdout).toContain('The red house')

    const page = await runJson<{ hits: object[]; cursor: string }>([...args, '--limit', '1'], { place })
    expect(page).toMatchObject({
      hits: [{ conversation_id: conversation, seq: 0, snippet: { ranges: [[8, 13]] } }],
      is_complete: true,
    })
    const next = await runJson([...args, '--limit', '1', '--cursor', page.cursor], { place })
    expect(next).toMatchObject({ hits: [{ seq: 1 }], cursor: null })
    expect((await runStele([...args, '--limit', '1'], { place })).stderr).toBe(
      `There may be more: --cursor ${page.cursor}\n`,
    )
    expect(await runStele([...args, '--role', 'assistant'], { place })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'Nothing found.\n',
    })
  })

  test('--reindex indexes what was recorded while search was turned off', async () => {
    const place = await bed.place()
    const stele = await place.stele({ search: false })
    await exchange(stele, [user('a word')], 'another word')
    await stele.close()
    const off = { place, env: { STELE_SEARCH: 'off' } }
    for (const args of [['--reindex'], ['word', '--user', 'ada']])
      expect(await runStele(['search', ...args], off)).toMatchObject({
        code: 1,
        stderr: 'stele: Search is turned off here (STELE_SEARCH).\n',
      })
    expect((await runStele(['search', 'word', '--user', 'ada'], { place })).stderr).toBe('Nothing found.\n')
    expect(await runStele(['search', '--reindex'], { place })).toEqual(
      expect.objectContaining({ code: 0, stdout: '', stderr: 'Every message is indexed.\n' }),
    )
    expect(await runJson(['search', 'word', '--user', 'ada'], { place })).toMatchObject({
      hits: [expect.anything(), expect.anything()],
    })
  })
})

test('wrong usage is told', async () => {
  const place = await sqlitePlace()
  await place.stele()
  for (const [args, words] of [
    [['word'], 'Whose messages?'],
    [['word', '--reindex'], '--reindex takes no query'],
    [['--user', 'ada'], "Invalid value for 'query'"],
    [['word', '--user', 'ada', '--from', 'x'], 'ISO 8601'],
    [['word', '--user', 'ada', '--role', 'x'], "Invalid value for 'role'"],
  ] as const) {
    const { code, stdout, stderr } = await runStele(['search', ...args], { place })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(words)
  }
})

test('a terminal shows what was found in colour, unless NO_COLOR says otherwise', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  await say(stele, ['a red\u001b[5m house'])
  await indexed(stele)
  const found = '\u001b[1;33mhouse\u001b[0m'
  const shown = await onTerminal(place, {})
  expect(shown).toContain(`a red\\x1b[5m ${found}`)
  const plain = await onTerminal(place, { NO_COLOR: '1' })
  expect(plain).toContain('a red\\x1b[5m house')
  expect(plain).not.toContain('\u001b[1;33m')
})

/** What a terminal of 80 columns receives. */
async function onTerminal(place: Place, env: Record<string, string>): Promise<string> {
  const { databaseUrl, masterKey } = place
  const script = packed('src/cli/main.ts')
  const terminal = spawn(process.execPath, [script.file, 'search', 'house', '--user', 'ada'], {
    cwd: await temporaryFolder(),
    cols: 80,
    env: {
      ...script.env,
      PATH: process.env['PATH'],
      TERM: 'xterm-256color',
      DATABASE_URL: databaseUrl,
      STELE_MASTER_KEY: masterKey,
      ...env,
    },
  })
  onTestFinished(() => terminal.kill('SIGKILL'))
  let text = ''
  terminal.onData(data => {
    text += data
  })
  await new Promise<void>(resolve => terminal.onExit(() => resolve()))
  return text
}
