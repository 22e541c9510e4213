import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startGateway } from '../gateway/running.ts'
import { type Answer, eventStream, startUpstream, type Upstream } from '../gateway/upstream.ts'
import { chunk, done } from '../gateway/wire.ts'
import { assistant, historyOf, user } from '../harness/chat.ts'
import { type Place, postgresPlace, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { linkToPostgres } from '../harness/postgres-link.ts'
import { rowsOf } from '../harness/rows.ts'
import { saying } from './backends.ts'
import { noTerminal, startTerminal, type Terminal, type TerminalOptions } from './terminal.ts'

const paste = (text: string): string => `\u001b[200~${text}\u001b[201~`
const controlC = '\u0003'
const controlD = '\u0004'
const pasteMarksOff = '\u001b[?2004l'
const arrowUp = '\u001b[A'

interface Talk {
  readonly place: Place
  readonly upstream: Upstream
  readonly terminal: Terminal
  /** The same chat once more, in another terminal. */
  again(args: readonly string[], options?: TerminalOptions): Promise<Terminal>
}

/** A chat on a SQLite file with a provider that does what a test says. */
async function talk(
  answers: readonly Answer[],
  { args = ['--new'], ...options }: TerminalOptions & { args?: readonly string[] } = {},
): Promise<Talk> {
  const place = await sqlitePlace()
  const upstream = await startUpstream(...answers)
  const cwd = await temporaryFolder()
  const providers = {
    test: { baseUrl: upstream.baseUrl, retries: 0, models: ['gpt-test', 'gpt-other', 'small'] },
  }
  await writeFile(join(cwd, 'stele.config.json'), JSON.stringify({ providers }))
  const again: Talk['again'] = (more, changed = {}) =>
    startTerminal(['chat', '--user', 'ada', ...more], { place, cwd, ...options, ...changed })
  return { place, upstream, terminal: await again(args), again }
}

/** Streams pieces, each when it is let through. */
function stepwise(): { answer: Answer; send(piece: string): void; end(): void } {
  const pieces: string[] = []
  let wake = (): void => undefined
  let isEnded = false
  const answer: Answer = async reply => {
    reply.head(200, eventStream)
    await reply.write(chunk({ role: 'assistant', content: '' }))
    for (;;) {
      const piece = pieces.shift()
      if (piece !== undefined) await reply.write(chunk({ content: piece }))
      else if (isEnded) break
      else
        await new Promise<void>(resolve => {
          wake = resolve
        })
    }
    reply.end(chunk({}, { finish: 'stop' }) + done)
  }
  return {
    answer,
    send(piece) {
      pieces.push(piece)
      wake()
    },
    end() {
      isEnded = true
      wake()
    },
  }
}

const unending: Answer = async reply => {
  reply.head(200, eventStream)
  await reply.write(chunk({ role: 'assistant', content: 'Once upon a time' }))
}

describe.skipIf(noTerminal !== undefined)(`chat in a terminal${noTerminal ?? ''}`, () => {
  test('greets, shows a reply as it comes with its Markdown, and ends with 0', async () => {
    const { answer, send, end } = stepwise()
    const { terminal, place } = await talk([answer])
    await terminal.sees('stele chat · gpt-test')
    await terminal.sees('›')
    terminal.enter('Tell me')
    send('# The *first*\n\nSome **bold** wo')
    await terminal.sees('Some bold wo')
    send('rds, `code` and [a link](https://example.com).\n\n- one\n- two\n\n')
    await terminal.sees('• two')
    send('| a | b |\n|---|--:|\n| x | 12 |\n\n```js\nlet x\n```\n')
    end()
    await terminal.sees(/gpt-test-2026 · \d/)
    const lines = terminal.lines()
    const from = lines.indexOf('› Tell me')
    expect(lines.slice(from, -2)).toEqual([
      '› Tell me',
      '',
      'The first',
      '',
      'Some bold words, code and a link (https://example.com).',
      '',
      '• one',
      '• two',
      '',
      'a   │   b',
      '────┼────',
      'x   │  12',
      '',
      '▏ js',
      '▏ let x',
      '',
      expect.stringMatching(/^gpt-test-2026 · /),
    ])
    expect(terminal.written()).toContain('\u001b[1mbold\u001b[0m')
    terminal.enter('exit')
    expect(await terminal.ended()).toMatchObject({ exitCode: 0 })
    // The terminal is given back as it was: text that is pasted is no longer marked.
    expect(terminal.written().lastIndexOf(pasteMarksOff)).toBeGreaterThan(terminal.written().lastIndexOf('›'))
    const stele = await place.stele()
    expect((await stele.calls.list()).map(({ status, userId }) => [status, userId])).toEqual([
      ['completed', 'ada'],
    ])
  })

  test('Ctrl-C stops the reply, which is kept as far as it came, and not the program', async () => {
    const { terminal, place, upstream } = await talk([unending, saying('The end.')])
    await terminal.sees('›')
    terminal.enter('A story')
    await terminal.sees('Once upon a time')
    terminal.type(controlC)
    await terminal.sees('stopped; what came is kept')
    expect(await (await upstream.received(0)).over).toBe(true)
    terminal.enter('Go on')
    await terminal.sees('The end.')
    terminal.type(`not sent${controlC}${controlC}`)
    await terminal.sees('Ctrl-C again')
    terminal.type(controlC)
    expect(await terminal.ended()).toMatchObject({ exitCode: 0 })
    const stele = await place.stele()
    const [conversation] = await stele.conversations.list()
    expect(await historyOf(stele, conversation?.id ?? '')).toEqual([
      user('A story'),
      assistant('Once upon a time'),
      user('Go on'),
      assistant('The end.'),
    ])
    expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['completed', 'aborted'])
  })

  test('after a kill in the middle of a reply the conversation is offered, and goes on', async () => {
    const { terminal, again, place } = await talk([saying('Yes.'), unending, saying('Here I am.')])
    await terminal.sees('›')
    terminal.enter('Are you there?')
    await terminal.sees('Yes.')
    terminal.enter('And now?')
    await terminal.sees('Once upon a time')
    terminal.kill('SIGKILL')
    await terminal.ended()

    const second = await again([])
    await second.sees('Last conversation: Are you there? · 3 messages · just now')
    second.type('\r')
    await second.sees(/2 earlier messages: \/history 3\s+user\s+And now\?/)
    second.enter('And now?')
    await second.sees('Here I am.')
    second.type(controlD)
    expect(await second.ended()).toMatchObject({ exitCode: 0 })
    const stele = await place.stele()
    const conversations = await stele.conversations.list()
    expect(conversations).toHaveLength(1)
    const history = await historyOf(stele, conversations[0]?.id ?? '')
    expect(history.map(({ content }) => content)).toEqual([
      'Are you there?',
      'Yes.',
      'And now?',
      'Here I am.',
    ])
    expect((await stele.calls.list()).map(({ status }) => status)).toEqual([
      'completed',
      'orphaned',
      'completed',
    ])
  })

  test('a conversation is chosen from the list, exported, and another one begun', async () => {
    const { terminal, again, place } = await talk([saying('an answer')])
    await terminal.sees('›')
    terminal.enter('the first one')
    await terminal.sees('an answer')
    terminal.enter('/new')
    await terminal.sees('A new conversation.')
    terminal.enter('the second one')
    await terminal.sees(/the second one\s+an answer/)
    terminal.enter('quit')
    await terminal.ended()

    const folder = await temporaryFolder()
    const second = await again([])
    await second.sees('Last conversation: the second one')
    second.type('l\r')
    await second.sees(/1 {3}the second one · 2 messages[\s\S]* 2 {3}the first one · 2 messages/)
    second.type('2\r')
    await second.sees(/user\s+the first one\s+assistant\s+an answer/)
    const file = join(folder, 'kept.json')
    second.enter(`/export ${file}`)
    await second.sees('Written to')
    second.enter(`/export ${file}`)
    await second.sees('already')
    second.enter('/sessions')
    await second.sees('2 → the first one')
    second.enter('and more')
    await second.sees(/and more\s+an answer/)
    second.enter('/dbstats')
    await second.sees(/requests\s+3\s+tokens\s+21 in, 3 out/)
    const exported = (await import(file, { with: { type: 'json' } })) as { default: { messages: unknown } }
    expect(exported.default.messages).toEqual([user('the first one'), assistant('an answer')])
    const stele = await place.stele()
    const lengths = (await stele.conversations.list()).map(({ nextSeq }) => nextSeq)
    expect(lengths.sort()).toEqual([2, 4])
  })

  test('models are listed, completed and switched; the one asked last is asked by the next chat', async () => {
    const { terminal, again, upstream } = await talk([saying('ok')])
    await terminal.sees('›')
    terminal.type('/mod\t')
    await terminal.sees('› /model')
    terminal.type('gpt-\t')
    await terminal.sees('gpt-test  gpt-other')
    terminal.type('o\t\r')
    await terminal.sees('gpt-other is asked from now on.')
    terminal.enter('/system Be brief.')
    terminal.enter('Hello')
    await terminal.sees('ok')
    terminal.enter('/model')
    await terminal.sees('→ gpt-other')
    terminal.enter('/nothing')
    await terminal.sees('There is no command /nothing.')
    expect(JSON.parse(upstream.journal[0]?.text ?? '')).toMatchObject({
      model: 'gpt-other',
      stream: true,
      messages: [{ role: 'system', content: 'Be brief.' }, user('Hello')],
    })
    terminal.type(controlD)
    await terminal.ended()
    const second = await again(['--new'])
    await second.sees('stele chat · gpt-other')
  })

  test('several models answer side by side and one reply is taken', async () => {
    const byName: Answer = (reply, request) => {
      const { model } = JSON.parse(request.text) as { model: string }
      return saying(`**${model}** says`, ` ${'so '.repeat(12)}`)(reply, request)
    }
    const { terminal, again, place } = await talk([byName])
    await terminal.sees('›')
    terminal.enter('/compare gpt-test small')
    terminal.enter('Who?')
    await terminal.sees('Take 1, 2? Enter takes none:')
    const lines = terminal.lines()
    expect(lines).toContainEqual(expect.stringMatching(/^1 gpt-test +│ 2 small$/))
    expect(lines).toContainEqual(expect.stringMatching(/^gpt-test says so so .* +│ small says so so/))
    terminal.type('7\r')
    terminal.type('2\r')
    await terminal.sees('The reply of small was taken.')
    terminal.enter('/compare gpt-test small')
    terminal.enter('Again?')
    await terminal.sees(/Again\?[\s\S]*Take 1, 2\?/)
    terminal.kill('SIGKILL')
    await terminal.ended()

    const narrow = await again(['--resume'], { columns: 40 })
    await narrow.sees('Again?')
    narrow.enter('/compare gpt-test small')
    narrow.enter('Narrow?')
    await narrow.sees('Take 1, 2?')
    expect(narrow.lines().filter(line => /^[12] (gpt-test|small)$/.test(line))).toHaveLength(2)
    narrow.type('\r')
    await narrow.sees('None of them was taken.')
    const stele = await place.stele()
    const calls = (await stele.calls.list()).reverse()
    expect(calls.map(({ status, routeMode }) => [status, routeMode])).toEqual([
      ['completed', 'compare'],
      ['completed', 'compare'],
      ['orphaned', 'compare'],
      ['orphaned', 'compare'],
      ['completed', 'compare'],
      ['completed', 'compare'],
    ])
    expect(new Set(calls.map(({ groupId }) => groupId)).size).toBe(3)
    const [conversation, ...others] = await rowsOf(stele, 'conversations')
    expect(others).toEqual([])
    const history = await historyOf(stele, conversation?.id ?? '')
    expect(history.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'user'])
  })

  test('a message of several lines is one: with backslashes, fences, and pasted', async () => {
    const { terminal, place } = await talk([saying('ok')])
    await terminal.sees('›')
    terminal.type('one\\\rtwo\r')
    await terminal.sees(/› one\n {2}two\n\nok/)
    terminal.type('"""\rthree\r\rfour\r"""\r')
    await terminal.sees(/"""\n {2}three\n\n {2}four\n {2}"""\n\nok/)
    terminal.type(`${paste('five\r\nsix\tseven\nexit')}\r`)
    await terminal.sees(/› five\n {2}six {4}seven\n {2}exit\n\nok/)
    terminal.type(`${arrowUp}${arrowUp}${arrowUp}\u0005\u007f漢字\r`)
    await terminal.sees(/exit\n\nok[\s\S]*› /)
    terminal.type(controlD)
    await terminal.ended()
    const stele = await place.stele()
    const [conversation] = await stele.conversations.list()
    const asked = (await historyOf(stele, conversation?.id ?? '')).filter(({ role }) => role === 'user')
    expect(asked.slice(0, 3).map(({ content }) => content)).toEqual([
      'one\ntwo',
      'three\n\nfour',
      'five\nsix\tseven\nexit',
    ])
  })

  test('wide characters and a window that becomes narrow while a reply comes', async () => {
    const { answer, send, end } = stepwise()
    const { terminal } = await talk([answer], { columns: 60, rows: 20 })
    await terminal.sees('›')
    const text = '漢字かな交じり文を書いて、👍も付ける。'
    terminal.enter(text)
    const long =
      'It goes on for quite a while, so that it takes two lines and a half even of a wide window, and then'
    send(`${text.repeat(2)}\n\nThe next paragraph has some words in it. ${long}`)
    await terminal.sees('and then')
    terminal.resize(34, 20)
    send(' and these come after')
    await terminal.sees('after')
    end()
    await terminal.sees(/gpt-test-2026 · /)
    const shown = terminal.lines().join('\n')
    expect(shown.slice(shown.indexOf('The next'), shown.indexOf('\n\ngpt-test-2026')).split('\n')).toEqual([
      'The next paragraph has some words',
      'in it. It goes on for quite a',
      'while, so that it takes two lines',
      'and a half even of a wide window,',
      'and then and these come after',
    ])
    expect(shown.split('The next paragraph')).toHaveLength(2)
    terminal.enter(`${text}${text}`)
    await terminal.sees(/›[^›]*›/)
    expect(terminal.lines().every(line => line.length <= 34)).toBe(true)
  })

  test('what a model says is shown, not obeyed; with NO_COLOR nothing has a look', async () => {
    const evil = 'red \u001b[31mtext\u0007 \u001b]0;title\u0007 \u202eback'
    const { terminal } = await talk([saying(evil, '\n\n**bold**')], { env: { NO_COLOR: '1' } })
    await terminal.sees('›')
    terminal.enter('Hello')
    await terminal.sees('red \\x1b[31mtext\\x07 \\x1b]0;title\\x07 \\u202eback')
    await terminal.sees('bold')
    const sequences = terminal.written().split('\u001b').slice(1)
    expect(sequences.filter(sequence => /^\[[\d;]*m|^\]/.test(sequence))).toEqual([])
  })

  test('a long reply leaves the screen at its top whole, line by line', async () => {
    const { answer, send, end } = stepwise()
    const { terminal } = await talk([answer], { rows: 8 })
    await terminal.sees('›')
    terminal.enter('Count')
    const words = Array.from({ length: 40 }, (_, index) => `line ${index}`)
    for (const word of words) send(`${word}\n`)
    await terminal.sees('line 39')
    // A table whose columns become wider is drawn again, as far as it is in reach.
    const rows = Array.from({ length: 20 }, (_, index) => `row ${index}`)
    send(`\n|a|b|\n|-|-|\n${rows.map(row => `| ${row} | x |\n`).join('')}`)
    await terminal.sees('row 19')
    send('| the last row | is wide |\n')
    await terminal.sees('the last row')
    end()
    await terminal.sees(/gpt-test-2026 · /)
    const shown = terminal.lines().map(line => line.split(' │')[0]?.trimEnd() ?? '')
    expect(shown.filter(line => /^(line|row) /.test(line))).toEqual([...words, ...rows])
  })

  test('a signal to end is obeyed once the reply is settled', async () => {
    const { terminal, place } = await talk([unending])
    await terminal.sees('›')
    terminal.enter('A story')
    await terminal.sees('Once upon a time')
    terminal.kill('SIGTERM')
    expect(await terminal.ended()).toMatchObject({ signal: 15 })
    const stele = await place.stele()
    expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['aborted'])
    expect(await rowsOf(stele, 'instances')).toEqual([])
  })

  test('over a gateway, which goes away midway: told, and the program stays', async () => {
    const { answer, send } = stepwise()
    const upstream = await startUpstream(answer)
    const running = await startGateway({ upstream })
    const terminal = await startTerminal(['chat', '--gateway', running.address, '--model', 'gpt-test'], {
      env: { STELE_API_KEY: running.key },
    })
    await terminal.sees(`stele chat · gpt-test · ${running.address}`)
    terminal.enter('Hello')
    send('Half a re')
    await terminal.sees('Half a re')
    await Promise.all([running.gateway.app.server.closeAllConnections(), running.gateway.app.server.close()])
    await terminal.sees('could not be reached')
    terminal.enter('Still there?')
    await terminal.sees(/Still there\?[\s\S]*could not be reached: ECONNREFUSED/)
    terminal.enter('exit')
    expect(await terminal.ended()).toMatchObject({ exitCode: 0 })
  })

  test('a PostgreSQL that goes away and comes back is told, and the chat goes on', async () => {
    const link = await linkToPostgres()
    const place = { ...(await postgresPlace()), databaseUrl: link.databaseUrl }
    const env = { DB_COMMIT_TIMEOUT: '1', DB_POOL_TIMEOUT: '2' }
    const terminal = await startTerminal(['chat', '--new'], { place, env })
    await terminal.sees('›')
    terminal.enter('before')
    await terminal.sees(/› before\n\nbefore/)
    link.cut()
    terminal.enter('meanwhile')
    await terminal.sees(/The database is away[\s\S]*\nmeanwhile\n\necho · /)
    link.restore()
    await terminal.sees('The database is back')
    terminal.enter('after')
    await terminal.sees(/› after\n\nafter\n\necho · /)
  })

  test('a question that was typed while a reply came is the next one', async () => {
    const { answer, send, end } = stepwise()
    const { terminal, upstream } = await talk([answer, saying('second')])
    await terminal.sees('›')
    terminal.enter('one')
    send('first')
    await terminal.sees('first')
    terminal.enter('two')
    end()
    await terminal.sees(/› two\n\nsecond/)
    expect(upstream.journal).toHaveLength(2)
  })
})
