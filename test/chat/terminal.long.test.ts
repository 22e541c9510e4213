import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startGateway } from '../gateway/running.ts'
import { type Answer, startUpstream } from '../gateway/upstream.ts'
import { assistant, exchange, historyOf, user } from '../harness/chat.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { saying } from './backends.ts'
import { controlC, controlD, pasteMarksOff, stepwise, talk, unending } from './talk.ts'
import { noTerminal, startTerminal } from './terminal.ts'

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
    await terminal.sees(/gpt-test-2026 · \d[\s\S]*›/)
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
    // Until the reply is over and a prompt is there again, Ctrl-C is for the reply.
    await terminal.sees(/The end\.[^›]*›$/)
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
    // Another process goes on with it.
    const stele = await place.stele()
    const first = (await stele.conversations.list()).at(-1)
    await exchange(
      stele,
      [user('the first one'), assistant('an answer'), user('elsewhere')],
      'yes',
      first && { conversationId: first.id },
    )
    second.enter('and more')
    await second.sees(/and more\s+an answer[\s\S]*went on elsewhere meanwhile/)
    second.enter('/search second')
    await second.sees(/conv_\w+ · 0 user\n {2}the second one\n/)
    second.enter('/search nowhere-said')
    await second.sees('Nothing was found.')
    second.enter('/dbstats')
    await second.sees(/requests\s+4\s+tokens\s+31 in, 8 out[\s\S]*MODEL +CALLS +FAILED +IN +OUT/)
    second.enter('/dbstats words')
    await second.sees('Say by what: /dbstats model, provider, key')
    const exported = (await import(file, { with: { type: 'json' } })) as { default: { messages: unknown } }
    expect(exported.default.messages).toEqual([user('the first one'), assistant('an answer')])
    const lengths = (await stele.conversations.list()).map(({ nextSeq }) => nextSeq)
    expect(lengths.sort()).toEqual([2, 4, 4])
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

  test('over a gateway several models answer as one group, and the conversation goes on with the one taken', async () => {
    const byName: Answer = (reply, request) =>
      saying(`I am ${request.text.includes('"model":"small"') ? 'small' : 'large'}.`)(reply, request)
    const running = await startGateway({ upstream: await startUpstream(byName) })
    const args = ['chat', '--gateway', running.address, '--key', running.key, '--model', 'large', '--new']
    const terminal = await startTerminal(args, { columns: 100 })
    await terminal.sees('›')
    terminal.enter('/compare large small')
    terminal.enter('Who?')
    await terminal.sees('Take 1, 2? Enter takes none:')
    expect(terminal.lines()).toContainEqual(expect.stringMatching(/^I am large\. +│ I am small\.$/))
    terminal.type('2\r')
    await terminal.sees('The reply of small was taken.')
    terminal.enter('Sure?')
    await terminal.sees(/Sure\?[\s\S]*I am large\.[\s\S]*›/)
    terminal.enter('/compare large small')
    terminal.enter('Again?')
    await terminal.sees(/Again\?[\s\S]*Take 1, 2\?/)
    terminal.type('\r')
    await terminal.sees('None of them was taken.')
    const { stele } = running
    const [conversation, ...others] = await rowsOf(stele, 'conversations')
    expect(others).toEqual([])
    expect(await historyOf(stele, conversation?.id ?? '')).toEqual([
      user('Who?'),
      assistant('I am small.'),
      user('Sure?'),
      assistant('I am large.'),
      user('Again?'),
    ])
    const calls = await stele.calls.list()
    expect(calls.map(({ routeMode }) => routeMode)).toEqual([
      'compare',
      'compare',
      undefined,
      'compare',
      'compare',
    ])
    expect(new Set(calls.map(({ groupId }) => groupId)).size).toBe(3)
  })
})
