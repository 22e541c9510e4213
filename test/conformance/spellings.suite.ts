import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { assistant, begin, completed, completionBody, reproduced, system, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { countOf, rowsOf } from '../harness/rows.ts'
import { type Spell, spellings, unevenSpelling } from '../harness/spellings.ts'

const questions = ['What is "π"?\n\\ 3.14', 'Sag’s auf Deutsch 🎉', '你好 \u2028 {"a": [1, 2]}', 'and then?']
const answers = ['It is “π” ≈ 3.14159…', 'Grüße! 🎈 \t "so"', '你好。\\u0041', 'the end']

const oddRequests: Record<string, string> = {
  'members that Stele does not know':
    '{"model":"m","x_custom":{"deep":[1,{"messages":[]}]},"messages":[{"role":"user","content":"q"}],"seed":12345678901234567890}',
  'numbers a parser would change':
    '{"model":"m","temperature":0.30000000000000004,"top_p":1.0,"seed":1e3,"messages":[{"role":"user","content":"q"}]}',
  'members named twice':
    '{"model":"m","temperature":1,"temperature":2,"messages":[{"role":"user","content":"q","name":"a","name":"b"}]}',
  'escapes that need not be':
    '{"m\\u006fdel":"m","messages":[{"role":"\\u0075ser","content":"\\/\\u0041\\ud83d\\ude00\\ud800"}]}',
  'white space around it':
    '\r\n\t {"model" : "m" , "messages" : [ { "role" : "user" , "content" : "q" } ] }\n\n',
  'one message and none but it': '{"messages":[{"role":"user","content":""}],"model":"m"}',
  'content parts and images':
    '{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"q"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBOR"}}]}]}',
  'null members':
    '{"model":"m","messages":[{"role":"user","content":"q","name":null}],"stop":null,"user":null}',
  'a byte order in names':
    '{"model":"m","messages":[{"content":"q","10":1,"2":2,"__proto__":{"x":1},"role":"user"}]}',
}

/** Clients resend a history in their own spelling: it is one conversation, and every request comes back byte for byte. */
export function spellingsSuite(bed: Bed): void {
  test.for(Object.entries({ ...spellings, 'messages set unevenly apart': unevenSpelling }))(
    '%s: one conversation, exact requests',
    async ([, spell]) => {
      const stele = await (await bed.place()).stele()
      const calls = await talk(
        stele,
        questions.map(() => spell),
      )
      expect(await countOf(stele, 'conversations')).toBe(1)
      expect(await countOf(stele, 'messages')).toBe(9)
      await expectExact(stele, calls)
    },
  )

  test('a client that changes its spelling every turn stays in one conversation, and every request is exact', async () => {
    const stele = await (await bed.place()).stele()
    const order = [...Object.values(spellings), unevenSpelling]
    const calls = await talk(stele, [...order, ...order.toReversed()])
    expect(await countOf(stele, 'conversations')).toBe(1)
    await expectExact(stele, calls)
  })

  test('after a change of spelling a steady client costs no more than its own echo', async () => {
    const stele = await (await bed.place()).stele()
    const python = spellings["Python's spacing and escapes"] as Spell
    const compact = spellings['compact, assistant messages minimal'] as Spell
    await talk(stele, [compact, compact, compact, python, python, python])
    const echoes = (await rowsOf(stele, 'messages')).flatMap(row =>
      row.echo_from === null ? [] : [row.seq - row.echo_from],
    )
    // The first Python turn spells all seven earlier messages anew, each later one only the reply before it.
    expect(echoes.sort((a, b) => a - b)).toEqual([1, 1, 7])
  })

  test('asking again in another spelling after a failed call is exact too', async () => {
    const stele = await (await bed.place()).stele()
    const messages = [system('be brief'), user('Hi “there”')]
    const calls: Made[] = []
    for (const spell of Object.values(spellings)) {
      const request = spell(messages)
      const call = await begin(stele, request)
      await stele.recorder.settle(call, { status: 'failed', errorCode: 'provider_timeout' })
      calls.push({ callId: call.callId, request, response: undefined })
    }
    expect(await countOf(stele, 'conversations')).toBe(1)
    expect(await countOf(stele, 'messages')).toBe(2)
    await expectExact(stele, calls)
  })

  test('going on from a reply to a request that was repeated in another spelling is exact', async () => {
    const stele = await (await bed.place()).stele()
    const calls: Made[] = []
    const say = async (
      spelling: string,
      messages: Record<string, unknown>[],
      answer: string,
    ): Promise<void> => {
      const request = spellings[spelling]?.(messages) ?? ''
      const response = completionBody(answer)
      const call = await begin(stele, request)
      await stele.recorder.settle(call, completed(response))
      calls.push({ callId: call.callId, request, response })
    }
    const compact = 'compact, assistant messages minimal'
    await say("Python's spacing and escapes", [user('q')], 'one')
    // Nothing new to store for this one but its reply, and what is stored is spelled otherwise.
    await say(compact, [user('q')], 'another')
    await say(compact, [user('q'), assistant('another'), user('more')], 'and more')
    await expectExact(stele, calls)
  })

  test('every request comes back exactly, however odd', async () => {
    const stele = await (await bed.place()).stele()
    for (const [what, request] of Object.entries(oddRequests)) {
      const calls: Made[] = []
      for (const body of [request, Buffer.from(request)]) {
        const response = completionBody('a')
        const call = await begin(stele, body)
        await stele.recorder.settle(call, completed(response))
        calls.push({ callId: call.callId, request, response })
      }
      await expectExact(stele, calls, what)
    }
  })
}

interface Made {
  readonly callId: string
  readonly request: string
  readonly response: string | undefined
}

/** Plays turns, each in its spelling, on one history. */
async function talk(stele: Stele, turns: readonly Spell[]): Promise<Made[]> {
  const history: Record<string, unknown>[] = [system('Réponds «brièvement»')]
  const calls: Made[] = []
  for (const [turn, spell] of turns.entries()) {
    history.push(user(`${questions[turn % questions.length]} ${turn}`))
    const request = spell(history)
    const answer = `${answers[turn % answers.length]} ${turn}`
    const response = completionBody(answer)
    const call = await begin(stele, request)
    await stele.recorder.settle(call, completed(response))
    history.push(assistant(answer))
    calls.push({ callId: call.callId, request, response })
  }
  return calls
}

async function expectExact(stele: Stele, calls: readonly Made[], what?: string): Promise<void> {
  for (const { callId, request, response } of calls)
    expect(await reproduced(stele, callId), what).toEqual({ request, response })
}
