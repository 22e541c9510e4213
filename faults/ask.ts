import type { Dispatcher } from 'undici'
import type { Asked, Exchange } from './journal.ts'

/** When a client goes away by itself: so long after it asked, or once it has read so much. */
export type Leaving = { readonly afterMs: number } | { readonly afterBytes: number }

export interface Question extends Omit<Asked, keyof Exchange | 'other'> {
  readonly leaves: Leaving | undefined
}

export interface Gateway {
  /** Where it is now; undefined while it is down. */
  readonly address: () => string | undefined
  readonly apiKey: string
  readonly dispatcher: Dispatcher
}

/** How long a client waits for a whole reply, in milliseconds. */
const patience = 20_000

const byItself = new Error('left')
const impatience = new Error('no whole reply in time')

const done = 'data: [DONE]\n\n'

/** Asks once and tells what came of it. */
export async function ask(question: Question, gateway: Gateway): Promise<Exchange> {
  const { leaves } = question
  const leaving = new AbortController()
  const timers = [
    setTimeout(() => leaving.abort(impatience), patience),
    ...(leaves !== undefined && 'afterMs' in leaves
      ? [setTimeout(() => leaving.abort(byItself), leaves.afterMs)]
      : []),
  ]
  let callId: string | undefined
  let isAnswer = false
  const chunks: Buffer[] = []
  const received = (): string => Buffer.concat(chunks).toString('utf8')
  const ended = (reply: string | undefined, trouble: string | undefined, broke = false): Exchange => ({
    callId,
    received: isAnswer ? (reply ?? received()) : undefined,
    reply,
    trouble,
    broke,
    left: leaving.signal.reason === byItself,
  })
  try {
    const address = gateway.address()
    if (address === undefined) return ended(undefined, 'gateway down')
    const response = await gateway.dispatcher.request({
      origin: address,
      path: '/v1/chat/completions',
      method: 'POST',
      headers: {
        authorization: `Bearer ${gateway.apiKey}`,
        'content-type': 'application/json',
        ...(question.idempotencyKey === undefined ? {} : { 'idempotency-key': question.idempotencyKey }),
      },
      body: question.body,
      signal: leaving.signal,
    })
    const id = response.headers['x-stele-call-id']
    callId = typeof id === 'string' ? id : undefined
    isAnswer = response.statusCode === 200
    let bytes = 0
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.byteLength
      if (leaves !== undefined && 'afterBytes' in leaves && bytes >= leaves.afterBytes)
        leaving.abort(byItself)
    }
    const text = received()
    if (!isAnswer) return ended(undefined, `status ${response.statusCode}`)
    if (question.isStream && !text.endsWith(done)) return ended(undefined, 'stream without its end')
    return ended(text, undefined)
  } catch (error) {
    if (leaving.signal.aborted) return ended(undefined, (leaving.signal.reason as Error).message)
    const { code, message } = error as NodeJS.ErrnoException
    return ended(undefined, code ?? message, true)
  } finally {
    for (const timer of timers) clearTimeout(timer)
  }
}
