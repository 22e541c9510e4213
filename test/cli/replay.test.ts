import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { compressed, sentRecord } from '../../src/compression/sent.ts'
import { startGateway } from '../gateway/running.ts'
import { type Answer, json, reset, startUpstream, stream } from '../gateway/upstream.ts'
import { answerEvents } from '../gateway/wire.ts'
import { completion } from '../harness/chat.ts'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { countOf } from '../harness/rows.ts'
import { runStele } from './run-stele.ts'

/** A recorded call, and a way to make it again with the stand-in answering otherwise. */
async function recordedCall(answer: Answer, body: object = {}) {
  const upstream = await startUpstream(answer)
  const place = await sqlitePlace()
  const gateway = await startGateway({ place, upstream })
  const reply = await gateway.post({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...body })
  expect(reply.status, reply.text).toBe(200)
  const id = String(reply.headers['x-stele-call-id'])
  const env = {
    STELE_CONFIG: await configFile({
      test: { baseUrl: upstream.baseUrl, retries: 0 },
      other: { baseUrl: upstream.baseUrl },
    }),
  }
  return {
    ...gateway,
    id,
    upstream,
    env,
    replay: (next: Answer, ...more: string[]) => {
      upstream.answer(next)
      return runStele(['calls', 'replay', id, ...more], { place, env })
    },
  }
}

async function configFile(providers: object): Promise<string> {
  const path = join(await temporaryFolder(), 'stele.config.json')
  await writeFile(path, JSON.stringify({ providers }))
  return path
}

const said = (content: string, usage = [10, 5]) =>
  json(
    completion(content, {
      usage: { prompt_tokens: usage[0], completion_tokens: usage[1], total_tokens: 0 },
    }),
  )

test('the same reply ends with 0, and the new call is on record beside the old one, in no conversation', async () => {
  const { replay, stele, id, upstream } = await recordedCall(said('Hello there'))
  const before = await stele.conversations.list({ userId: 'ada' })
  const messages = await countOf(stele, 'messages')
  const { code, stdout, stderr } = await replay(said('Hello there', [10, 7]))
  expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: 'The replies say the same.\n' })
  expect(stdout).toMatch(/^output tokens +5 → 7$/m)
  expect(stdout).toMatch(/^status +completed → completed$/m)
  const [first, second] = upstream.journal
  expect(second?.text).toBe(first?.text)
  const group = await stele.calls.group('ada', id)
  expect(group.map(call => [call.routeMode, call.status])).toEqual([
    [undefined, 'completed'],
    ['replay', 'completed'],
  ])
  expect(await stele.conversations.list({ userId: 'ada' })).toEqual(before)
  expect(await countOf(stele, 'messages')).toBe(messages)
  expect((await stele.calls.exactResponse('ada', group[1]?.id ?? ''))?.toString()).toContain('Hello there')
  const again = await replay(said('Hello there'))
  expect(again.code).toBe(0)
})

test('another reply ends with 1 and is shown word by word, nothing of it raw to the terminal', async () => {
  const { replay } = await recordedCall(said('one\ntwo\nthree\nfour\nfive\nsix the old \u001b[31mend'))
  const { code, stdout, stderr } = await replay(
    said('one\ntwo\nthree\nfour\nfive\nsix the new \u001b]0;title\u0007end\u202e'),
  )
  expect({ code, stderr }).toEqual({ code: 1, stderr: 'The replies differ.\n' })
  expect(stdout).toContain('── text ──\n@@ 3 lines the same @@\nfour\nfive\nsix the [-old-]')
  expect(stdout).toContain('{+new+}')
  expect(stdout).toContain('\\x1b]0;title\\x07end')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
  expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
})

test('JSON and calls of tools are compared by their structure', async () => {
  const { replay } = await recordedCall(said('{"title":"a","steps":[1,2],"b":{}}'))
  const { code, stdout } = await replay(said('{"steps":[1,3,4],"title":"a"}'))
  expect(code).toBe(1)
  expect(stdout).toContain('── text ──\n- /steps/1: 2\n+ /steps/1: 3\n+ /steps/2: 4\n- /b: {}\n')

  const tool = (id: string, given: string) =>
    json(
      completion(null, {
        message: { tool_calls: [{ id, type: 'function', function: { name: 'add', arguments: given } }] },
      }),
    )
  const tools = await recordedCall(tool('t1', '{"a":1}'))
  expect((await tools.replay(tool('t2', '{ "a": 1 }'))).code).toBe(0)
  const other = await tools.replay(tool('t3', '{"a":2}'))
  expect(other.code).toBe(1)
  expect(other.stdout).toContain('- /0/function/arguments/a: 1\n+ /0/function/arguments/a: 2\n')
})

test('a stream is asked for as a stream and compared by what it says', async () => {
  const { replay, stele, id } = await recordedCall(stream(answerEvents(['Hello', ' you'])), { stream: true })
  expect((await replay(stream(answerEvents(['Hel', 'lo you'])))).code).toBe(0)
  expect((await replay(stream(answerEvents(['Hello', ' me'])))).code).toBe(1)
  expect(await stele.calls.group('ada', id)).toHaveLength(3)
})

test('another model or provider is asked when one is named', async () => {
  const { replay, upstream, stele, id } = await recordedCall(said('x'))
  const { code, stdout } = await replay(said('x'), '--model', 'big', '--provider', 'other')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^provider +test → other$/m)
  expect(JSON.parse(upstream.journal[1]?.text ?? '')).toMatchObject({ model: 'big' })
  expect((await stele.calls.group('ada', id))[1]).toMatchObject({ provider: 'other', requestModel: 'big' })
})

test('--json tells both calls and what differs', async () => {
  const { replay } = await recordedCall(said('a b'))
  const { code, stdout } = await replay(said('a c'), '--json')
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({
    is_same: false,
    recorded: { route_mode: null, output_tokens: 5 },
    replayed: { route_mode: 'replay' },
    differences: [
      {
        name: 'text',
        kind: 'text',
        stretches: [
          { kind: 'same', items: ['a', ' '] },
          { kind: 'removed', items: ['b'] },
          { kind: 'added', items: ['c'] },
        ],
      },
    ],
  })
})

test('what cannot be made again or compared ends with 2 and says why', async () => {
  const { replay, stele, id } = await recordedCall(said('x'))
  const failed = await replay(reset)
  expect(failed.code).toBe(2)
  expect(failed.stderr).toContain('could not be reached')
  expect((await stele.calls.group('ada', id))[1]).toMatchObject({ routeMode: 'replay', status: 'failed' })
  for (const [args, words] of [
    [['--provider', 'none'], "No provider 'none'"],
    [['--user', 'bob'], 'There is no call'],
  ] as const) {
    const { code, stderr } = await replay(said('x'), ...args)
    expect(code).toBe(2)
    expect(stderr).toContain(words)
  }
  const unkept = await recordedCall(said('x'), { store: false })
  const { code, stderr } = await unkept.replay(said('x'))
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('was not kept') })
})

test('a call is compressed as it was then, not as the same level does it today', async () => {
  const { stele, upstream, place, env } = await recordedCall(said('x'))
  const replay = (id: string) => runStele(['calls', 'replay', id], { place, env })
  const body = JSON.stringify({
    model: 'm',
    messages: [{ role: 'user', content: 'git commit -m really the --amend' }],
  })
  const was = await compressed(body, 'medium', 1)
  expect(was).not.toBe(await compressed(body, 'medium'))
  const sending = { level: 'medium', model: 'm', asksUsage: true, isChat: true, version: 1 } as const
  const sent = sentRecord({ told: body, recorded: body, mayKeep: true, body: was }, sending)
  const call = await stele.recorder.begin({ userId: 'ada', provider: 'test', body, sent })
  await stele.recorder.settle(call, { status: 'completed', body: JSON.stringify(completion('x')) })
  const asked = upstream.journal.length
  expect((await replay(call.callId)).code).toBe(0)
  expect(upstream.journal[asked]?.text).toBe(was)
  expect((await stele.calls.group('ada', call.callId))[1]).toMatchObject({ compression: 'medium/1' })
})
