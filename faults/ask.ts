import type { Dispatcher } from 'undici'
import type { Asked } from './journal.ts'

/** When a client goes away by itself: so long after it asked, or once it has read so much. */
export type Leaving = { readonly afterMs: number } | { readonly afterBytes: number }

export type Question = Pick<Asked, 'mark' | 'user' | 'body' | 'isStream' | 'hidesUsage' | 'retells'> & {
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

const done = 'data: [DONE]\n\n'

/** Asks once and tells what came of it. */
export async function ask(question: Question, gateway: Gateway): Promise<Asked> {
  const { leaves, ...told } = question
  const leaving = new AbortController()
  const timers = [
    setTimeout(() => leaving.abort(new Error('no whole reply in time')), patience),
    ...(leaves !== undefined && 'afterMs' in leaves
      ? [setTimeout(() => leaving.abort(), leaves.afterMs)]
      : []),
  ]
  let callId: string | undefined
  const ended = (reply: string | undefined, trouble: string | undefined): Asked => ({
    ...told,
    callId,
    reply,
    trouble,
    left: leaving.signal.aborted,
  })
  try {
    const address = gateway.address()
    if (address === undefined) return ended(undefined, 'gateway down')
    const response = await gateway.dispatcher.request({
      origin: address,
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.apiKey}`, 'content-type': 'application/json' },
      body: question.body,
      signal: leaving.signal,
    })
    const id = response.headers['x-stele-call-id']
    callId = typeof id === 'string' ? id : undefined
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.byteLength
      if (leaves !== undefined && 'afterBytes' in leaves && bytes >= leaves.afterBytes) leaving.abort()
    }
    const text = Buffer.concat(chunks).toString('utf8')
    if (response.statusCode !== 200) return ended(undefined, `status ${response.statusCode}`)
    if (question.isStream && !text.endsWith(done)) return ended(undefined, 'stream without its end')
    return ended(text, undefined)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return ended(undefined, leaving.signal.aborted ? 'left' : (code ?? message))
  } finally {
    for (const timer of timers) clearTimeout(timer)
  }
}
