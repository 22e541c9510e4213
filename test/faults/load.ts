import OpenAI from 'openai'
import type { Answer } from '../gateway/upstream.ts'
import { eventStream, json, type UpstreamRequest } from '../gateway/upstream.ts'
import { answerEvents } from '../gateway/wire.ts'
import { completion } from '../harness/chat.ts'

/** One question of a client, and what it got. */
export interface Asked {
  readonly mark: string
  readonly user: string
  readonly body: string
  readonly callId: string | undefined
  /** The whole reply when it ended for the client: all its bytes, for a stream with its [DONE]. */
  readonly reply: string | undefined
}

type Message = OpenAI.ChatCompletionMessageParam

const marked = /mark-[0-9]+-[0-9]+-[0-9]+-[0-9]+/g

/** The mark of a request: that of its last message, as earlier ones are resent. */
export function markOf(body: string): string {
  return body.match(marked)?.at(-1) ?? 'no mark'
}

/** A provider that answers with the mark, streamed in small pieces when a stream is asked for. */
export const answerWithMark: Answer = async (reply, request: UpstreamRequest) => {
  const words = [`answer to ${markOf(request.text)}`, ' and', ' some', ' more']
  if (!request.text.includes('"stream":true')) return json(completion(words.join('')))(reply, request)
  reply.head(200, eventStream)
  for (const event of answerEvents(words)) await reply.write(event)
  reply.end()
}

export interface Load {
  readonly asked: Asked[]
  /** Resolves when so many replies have ended. */
  ended(count: number): Promise<void>
  /** Resolves when every client has stopped, because the gateway is gone. */
  readonly stopped: Promise<void>
}

/** So many clients at once, each in conversations of two turns, streamed and whole by turns, until the gateway is gone. */
export function startLoad(address: string, apiKey: string, round: number, clients: number): Load {
  const asked: Asked[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const client = new OpenAI({ apiKey, baseURL: `${address}/v1`, maxRetries: 0, timeout: 20_000 })

  const ask = async (mark: string, user: string, messages: Message[], stream: boolean): Promise<string> => {
    const parameters = {
      model: `model-${mark.length % 2}`,
      messages,
      user,
      ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
    }
    let callId: string | undefined
    let reply: string | undefined
    try {
      const response = await client.chat.completions.create(parameters).asResponse()
      callId = response.headers.get('x-stele-call-id') ?? undefined
      const text = await response.text()
      if (!stream || text.endsWith('data: [DONE]\n\n')) reply = text
    } finally {
      asked.push({ mark, user, body: JSON.stringify(parameters), callId, reply })
      const ended = asked.filter(({ reply }) => reply !== undefined).length
      for (const { count, resolve } of waiting) if (ended >= count) resolve()
    }
    return reply ?? ''
  }

  const converse = async (worker: number): Promise<void> => {
    const user = `user-${worker % 5}`
    for (let turn = 0; ; turn++) {
      const [first, second] = [`mark-${round}-${worker}-${turn}-1`, `mark-${round}-${worker}-${turn}-2`]
      const messages: Message[] = [{ role: 'user', content: first }]
      await ask(first, user, messages, worker % 2 === 0)
      messages.push(
        { role: 'assistant', content: `answer to ${first} and some more` },
        { role: 'user', content: second },
      )
      await ask(second, user, messages, turn % 2 === 0)
    }
  }

  const stopped = Promise.allSettled(Array.from({ length: clients }, (_, worker) => converse(worker))).then(
    () => undefined,
  )
  return {
    asked,
    stopped,
    ended: count =>
      new Promise((resolve, reject) => {
        waiting.push({ count, resolve })
        stopped.then(() => reject(new Error(`all clients stopped before ${count} replies had ended`)))
      }),
  }
}
