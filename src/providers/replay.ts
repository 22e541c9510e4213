import { SteleError } from '../errors.ts'
import { completionEvents, completionText, writtenReply } from '../model/completion-wire.ts'
import { prepareRequest } from '../model/prepared-request.ts'
import { type Choice, type Reply, readChoices, readCompletion } from '../model/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'
import { StreamedReply } from '../model/stream-reply.ts'
import type { Stele } from '../stele.ts'
import { callStore } from '../store/calls.ts'
import { promptly } from '../store/contents.ts'
import { recordedAnswers } from '../store/recorded-answers.ts'
import { isEventStream, type Provider, readyBody } from './provider.ts'

/**
 * Answers from the record: the first completed reply to exactly this prompt, byte for byte when it was asked for in the
 * same form, else rewritten from stream to whole or the other way round. Nothing is ever sent anywhere.
 */
export function replayProvider(name: string, stele: Pick<Stele, 'database' | 'hashes'>): Provider {
  const prompt = promptly(stele.database)
  const answers = recordedAnswers(prompt)
  const calls = callStore(prompt)
  return {
    name,
    answersFromRecord: true,
    async chat({ userId, model, request }) {
      const id = await answers.find(userId, model, prepareRequest(request, stele.hashes))
      const call = id === undefined ? undefined : await calls.get(userId, id)
      const recorded = call && (await calls.exactResponse(userId, call.id))
      if (call === undefined || recorded === undefined) throw new SteleError('replay_miss', { model })
      const wasStream = isEventStream(call.contentType ?? '')
      const contentType = request.stream ? 'text/event-stream' : 'application/json'
      if (wasStream === request.stream)
        return { status: 200, contentType, headers: {}, body: readyBody([recorded]) }
      const answer = wasStream ? readStream(recorded) : readWhole(recorded)
      if (answer === undefined) throw new SteleError('replay_miss', { model })
      const written = writtenReply(answer.reply, answer.choices, model, {
        callId: call.id,
        createdAt: call.createdAt,
      })
      const body = request.stream ? completionEvents(written, true) : [completionText(written)]
      return { status: 200, contentType, headers: {}, body: readyBody(body) }
    },
    models: async () => [],
    close: async () => undefined,
  }
}

interface Answer {
  readonly reply: Reply
  readonly choices: readonly Choice[]
}

function readWhole(bytes: Buffer): Answer | undefined {
  const value: unknown = JSON.parse(bytes.toString())
  const reply = readCompletion(value)
  return reply && { reply, choices: readChoices(value) }
}

function readStream(bytes: Uint8Array): Answer {
  const splitter = new SseSplitter()
  const streamed = new StreamedReply()
  for (const event of [...splitter.push(bytes), ...splitter.end()]) {
    const data = eventData(event)
    if (data !== undefined && data !== '[DONE]') streamed.add(JSON.parse(data) as Record<string, unknown>)
  }
  return { reply: streamed.reply(), choices: streamed.choices() }
}
