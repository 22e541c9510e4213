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
  /** Lets every client finish the call it is at and stop. */
  stop(): Promise<void>
  /** Resolves when every client has stopped: because it was told to, or because a call failed and it goes on after none. */
  readonly stopped: Promise<void>
}

export interface LoadOptions {
  /** Gateways, each call going to the next one; read anew at every call. */
  readonly addresses: readonly string[]
  readonly apiKey: string
  /** Keeps the marks of several loads apart. */
  readonly round?: number
  readonly clients: number
  /** Calls in each conversation. */
  readonly turns?: number
  /** Whether a client goes on with its next conversation after a call that failed. */
  readonly isSteadfast?: boolean
}

/** So many clients at once, each in one conversation after the other, streamed and whole by turns. */
export function startLoad(options: LoadOptions): Load {
  const { addresses, apiKey, round = 0, clients, turns = 2, isSteadfast = false } = options
  const asked: Asked[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  const client = new OpenAI({ apiKey, maxRetries: 0, timeout: 30_000 })
  let calls = 0
  let isStopping = false

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
      const gateway = client.withOptions({ baseURL: `${addresses[calls++ % addresses.length]}/v1` })
      const response = await gateway.chat.completions.create(parameters).asResponse()
      callId = response.headers.get('x-stele-call-id') ?? undefined
      const text = await response.text()
      if (!stream || text.endsWith('data: [DONE]\n\n')) reply = text
    } finally {
      asked.push({ mark, user, body: JSON.stringify(parameters), callId, reply })
      const ended = asked.filter(({ reply }) => reply !== undefined).length
      for (const { count, resolve } of waiting) if (ended >= count) resolve()
    }
    if (reply === undefined) throw new Error('the stream broke off')
    return reply
  }

  const converse = async (worker: number, conversation: number): Promise<void> => {
    const user = `user-${worker % 5}`
    const messages: Message[] = []
    for (let turn = 1; turn <= turns && !isStopping; turn++) {
      const mark = `mark-${round}-${worker}-${conversation}-${turn}`
      messages.push({ role: 'user', content: mark })
      await ask(mark, user, messages, (worker + conversation + turn) % 2 === 0)
      messages.push({ role: 'assistant', content: `answer to ${mark} and some more` })
    }
  }

  const goOn = async (worker: number): Promise<void> => {
    for (let conversation = 0; !isStopping; conversation++) {
      try {
        await converse(worker, conversation)
      } catch (error) {
        if (!isSteadfast) throw error
      }
    }
  }

  const stopped = Promise.allSettled(Array.from({ length: clients }, (_, worker) => goOn(worker))).then(
    () => undefined,
  )
  return {
    asked,
    stopped,
    stop() {
      isStopping = true
      return stopped
    },
    ended: count =>
      new Promise((resolve, reject) => {
        waiting.push({ count, resolve })
        stopped.then(() => reject(new Error(`all clients stopped before ${count} replies had ended`)))
      }),
  }
}
