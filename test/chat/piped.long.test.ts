import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type RunOptions, runStele, startStele } from '../cli/run-stele.ts'
import { startGateway } from '../gateway/running.ts'
import { eventStream, json, startUpstream } from '../gateway/upstream.ts'
import { chunk, openAiError } from '../gateway/wire.ts'
import { assistant, historyOf, user } from '../harness/chat.ts'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { saying } from './backends.ts'
import { noTerminal, startTerminal } from './terminal.ts'

const chat = (args: readonly string[], options: RunOptions) => runStele(['chat', ...args], options)

test('what is piped in is one question, answered plainly on stdout, and kept', async () => {
  const place = await sqlitePlace()
  const input = '# Two\nlines, **and** /help\n'
  const { code, stdout, stderr } = await chat(['--new', '--user', 'ada'], { place, input })
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: input, stderr: '' })
  const resumed = await chat(['--resume', '--user', 'ada', '--json'], { place, input: 'more' })
  const stele = await place.stele()
  const [conversation, ...others] = await stele.conversations.list()
  expect(others).toEqual([])
  const [call] = await stele.calls.list()
  expect(JSON.parse(resumed.stdout)).toEqual({
    status: 'completed',
    model: 'echo',
    content: 'more',
    conversation_id: conversation?.id,
    session_id: conversation?.id,
    call_id: call?.id,
    input_tokens: 11,
    output_tokens: 1,
    cached: false,
  })
  expect(await historyOf(stele, conversation?.id ?? '')).toEqual([
    user(input.trimEnd()),
    assistant(input.trimEnd()),
    user('more'),
    assistant('more'),
  ])
})

test('what the environment has masked no provider is told', async () => {
  const upstream = await startUpstream(saying('I see [EMAIL_1]'))
  const env = { OPENAI_BASE_URL: upstream.baseUrl, MASK_PII_BEFORE_LLM: 'true' }
  const options = { place: await sqlitePlace(), env, input: 'ada@example.com' }
  const { code, stdout } = await chat(['--no-store', '--model', 'm'], options)
  expect({ code, stdout: stdout.trim() }).toEqual({ code: 0, stdout: 'I see ada@example.com' })
  expect(upstream.journal[0]?.text).toContain('"[EMAIL_1]"')
})

test('with --lines each line is a question or a command', async () => {
  const place = await sqlitePlace()
  const input = 'one\n\n/compare echo echo/echo\ntwo\n//three\n/stats\nexit\nnot asked\n'
  const { code, stdout, stderr } = await chat(['--lines', '--user', 'ada'], { place, input })
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout.split('\n').filter(line => line !== '')).toEqual([
    'one',
    'The next question goes to echo, echo/echo.',
    '── 1 echo ──',
    'two',
    '── 2 echo/echo ──',
    'two',
    'None of them was taken.',
    '/three',
    expect.stringMatching(/^conversation +conv_/),
    'messages      5, of which 5 are sent with the next question',
    'requests      4',
    expect.stringMatching(/^tokens /),
    'cost          $0.00',
  ])
  const stele = await place.stele()
  expect(await stele.calls.list()).toHaveLength(4)
})

test('a failure is one line on stderr and exit code 1, and what came before it was said', async () => {
  const upstream = await startUpstream(json(openAiError('Out of order.'), { status: 400 }))
  const place = await sqlitePlace()
  const env = { OPENAI_BASE_URL: upstream.baseUrl }
  const failed = await chat(['--model', 'gpt-test'], { place, env, input: 'Hello' })
  expect(failed).toMatchObject({ code: 1, stdout: '' })
  expect(failed.stderr).toMatch(/^stele: The provider 'openai' answered with status 400\. Out of order\.\n$/)
  upstream.answer(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: 'Half \u001b[31mred' }))
    reply.reset()
  })
  const broken = await chat(['--model', 'gpt-test'], { place, env, input: 'Hello' })
  expect(broken).toMatchObject({ code: 1, stdout: 'Half \\x1b[31mred\n' })
  expect(broken.stderr.split('\n')).toHaveLength(2)
})

test('input that is not UTF-8 is refused, and nothing is asked or kept', async () => {
  const place = await sqlitePlace()
  const refused = await chat(['--new'], { place, input: Buffer.from('Grüße', 'latin1') })
  expect(refused).toMatchObject({ code: 2, stdout: '' })
  expect(refused.stderr).toContain('not valid UTF-8')
  expect(await (await place.stele()).conversations.list()).toEqual([])
})

test('whatever an application called a session, its export is a file of this folder', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const messages = [{ message: { role: 'user', content: 'kept' } }]
  await stele.conversations.create({ userId: 'ada', sessionId: '../\u001b[31mx/y', messages })
  const cwd = await temporaryFolder()
  const args = ['--resume', '--lines', '--user', 'ada']
  const { code, stdout } = await chat(args, { place, cwd, input: '/export\n/sessions\n' })
  expect(code).toBe(0)
  expect(await readdir(cwd)).toEqual(['____31mx_y.md'])
  expect(stdout).not.toContain('\u001b')
})

test.each<[string, string[], string, number]>([
  ['nothing to ask', [], 'There is nothing to ask', 2],
  ['a conversation that is not there', ['--resume', 'conv_1'], "There is no conversation 'conv_1'", 1],
  ['a new and an old conversation', ['--new', '--resume'], 'cannot be used with', 2],
  ['a gateway that is not there', ['--gateway', 'http://127.0.0.1:9'], 'could not be reached', 1],
  ['a gateway that is no URL', ['--gateway', 'there'], 'an http or https URL', 2],
  [
    'a gateway without its store',
    ['--gateway', 'http://127.0.0.1:9', '--no-store'],
    'cannot be used with',
    2,
  ],
])('%s is told in a word', async (name, args, words, code) => {
  const input = name === 'nothing to ask' ? '\n' : 'Hello'
  const ended = await chat(args, { input, place: await sqlitePlace() })
  expect(ended).toMatchObject({ code, stdout: '' })
  expect(ended.stderr).toContain(words)
})

test('a reply that is interrupted is kept as far as it came, and the signal is what ended the program', async () => {
  const upstream = await startUpstream(async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: 'Once\nupon a time' }))
  })
  const place = await sqlitePlace()
  const env = { OPENAI_BASE_URL: upstream.baseUrl }
  const running = await startStele(['chat', '--user', 'ada', '--model', 'gpt-test'], {
    place,
    env,
    input: 'Hello',
  })
  expect(await running.nextLine()).toBe('Once')
  expect(await running.stop('SIGINT')).toBe(null)
  const stele = await place.stele()
  expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['aborted'])
  const [conversation] = await stele.conversations.list()
  expect(await historyOf(stele, conversation?.id ?? '')).toEqual([
    user('Hello'),
    assistant('Once\nupon a time'),
  ])
})

test('a question goes over a gateway', async () => {
  const running = await startGateway({ upstream: await startUpstream(saying('Hello', ' Ada')) })
  const env = { STELE_API_KEY: running.key }
  const ended = await chat(['--gateway', running.address, '--model', 'gpt-test'], { env, input: 'Hi' })
  expect(ended).toMatchObject({ code: 0, stdout: 'Hello Ada\n', stderr: '' })
})

describe('a database that cannot be used', () => {
  test('is a clear message, and --no-store chats without one', async () => {
    const cwd = await temporaryFolder()
    await writeFile(join(cwd, 'notes.txt'), 'This is no database at all.')
    const env = { DATABASE_URL: 'sqlite:notes.txt' }
    const refused = await chat([], { cwd, env, input: 'Hello' })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain('notes.txt')
    expect(refused.stderr).toContain('stele chat --no-store')
    expect(refused.stderr).not.toContain('    at ')
    const away = await chat([], { cwd, env: { DATABASE_URL: 'postgres://127.0.0.1:9/x' }, input: 'Hello' })
    expect(away).toMatchObject({ code: 1, stdout: '' })
    expect(away.stderr).toContain('stele: The database is unavailable')
    const without = await chat(['--no-store'], { cwd, env, input: 'Hello' })
    expect(without).toMatchObject({ code: 0, stdout: 'Hello\n', stderr: '' })
  })

  test.skipIf(noTerminal !== undefined)('is one in a terminal too', async () => {
    const cwd = await temporaryFolder()
    await writeFile(join(cwd, 'notes.txt'), 'This is no database at all.')
    const env = { DATABASE_URL: 'sqlite:notes.txt' }
    const refused = await startTerminal(['chat'], { cwd, env })
    expect(await refused.ended()).toMatchObject({ exitCode: 1 })
    await refused.sees('stele chat --no-store')
    const without = await startTerminal(['chat', '--no-store'], { cwd, env })
    await without.sees('Nothing is kept')
    without.enter('Hello there')
    await without.sees(/Hello there\n\nHello there\n\necho · /)
    without.type('\u0004')
    expect(await without.ended()).toMatchObject({ exitCode: 0 })
  })
})
