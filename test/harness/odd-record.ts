import { lowestIdAt } from '../../src/ids.ts'
import type { Stele } from '../../src/stele.ts'
import { assistant, begin, chatBody, completed, completionBody, system, user } from './chat.ts'
import { pythonJson, unevenSpelling } from './spellings.ts'

/** What was sent and received of one call. */
export interface OddCall {
  readonly callId: string
  readonly userId: string
  readonly request: string
  readonly response: Buffer | undefined
}

const events = (pieces: readonly string[]): Buffer =>
  Buffer.from(
    `${pieces.map(content => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`).join('')}data: [DONE]\n\n`,
  )

/** Records one of everything that is hard to keep: spellings, forks, streams, bytes, NUL, half surrogates, size, old ids. */
export async function recordOddities(stele: Stele): Promise<OddCall[]> {
  const calls: OddCall[] = []
  const talk = async (
    request: string,
    response: string | Buffer | undefined,
    more: { userId?: string; callId?: string; contentType?: string; status?: 'completed' | 'failed' } = {},
  ): Promise<string> => {
    const { userId = 'ada', callId, contentType = 'application/json', status = 'completed' } = more
    const call = await begin(stele, request, { userId, callId })
    if (response !== undefined)
      await stele.recorder.settle(
        call,
        completed(response, {
          status,
          contentType,
          costNanousd: status === 'completed' ? 1_500 : undefined,
          ...(status === 'failed'
            ? { httpStatus: 502, errorCode: 'provider_error', errorMessage: 'no\nluck' }
            : {}),
        }),
      )
    calls.push({
      callId: call.callId,
      userId,
      request,
      response: response === undefined ? undefined : Buffer.from(response),
    })
    return call.conversationId
  }
  const story = [system('be brief'), user('one')]
  await talk(chatBody(story), completionBody('answer one'))
  const longer = [...story, assistant('answer one'), user('two')]
  await talk(chatBody(longer), completionBody('answer two'))
  // A fork, an echo (the same history spelled by another client), and a request that is kept whole.
  await talk(chatBody([...story, assistant('answer one'), user('two, else')]), completionBody('answer else'))
  await talk(
    pythonJson({ model: 'm', messages: [...longer, assistant('answer two'), user('caf\u00e9 \u{1f30d}')] }),
    completionBody('answer three'),
  )
  await talk(unevenSpelling([...longer, assistant('answer two'), user('uneven')]), completionBody('x'))
  // The same request again: its reply begins a fork.
  await talk(chatBody(longer), completionBody('another answer two'))
  await talk(
    chatBody([user('stream')], { stream: true }),
    events(['Hel', 'lo', ...Array.from({ length: 400 }, () => ' again')]),
    { contentType: 'text/event-stream' },
  )
  await talk(chatBody([user('bytes')]), Buffer.from([0, 255, 254, 13, 10, 27, 0xc3]), {
    status: 'failed',
    contentType: 'image/png',
  })
  await talk(
    '{ "model":"m" ,"messages" : [ {"role":"user","content":"nul \\u0000 half \\ud800 \\u2028 \u2028 1"} ],\n "seed": 12345678901234567890, "x":1.0 }\n',
    '{"id":"r1","choices":[{"index":0,"message":{"role":"assistant","content":"\\ud83d \\u0000 \\/ ok"},"finish_reason":"stop"}],\r\n "big":1e400}',
  )
  await talk(chatBody([user('x'.repeat(3_000_000))]), completionBody('y'.repeat(1_000_000)))
  await talk(chatBody([user('of bob'), user('twice')]), completionBody('yes'), {
    userId: 'bob, "the builder"',
  })
  await talk(chatBody([user('never answered')]), undefined)
  await talk(chatBody([user('in an earlier year')]), completionBody('then'), {
    callId: lowestIdAt('call', Date.UTC(2024, 4, 17)),
  })
  return calls
}
