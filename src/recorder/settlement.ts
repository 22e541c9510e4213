import type { Outcome, ResponseEnd } from '../model/call.ts'
import { canonicalMessage } from '../model/canonical.ts'
import { assistantMessageText, cutContent, type Reply, readCompletion } from '../model/reply.ts'
import { encodeCompressed } from '../privacy/content.ts'
import type { Settlement } from './operations.ts'

/** Replies that end up in the conversation. What a failed call said is kept with the call alone. */
const conversing: ReadonlySet<string> = new Set(['completed', 'aborted', 'cached'])

const maxModelLength = 256
const maxErrorLength = 2_000

/** Turns an outcome into what is stored of it: the reply's text once, its message beside it. */
export async function settlementOf(outcome: Outcome): Promise<Settlement> {
  const reply = outcome.reply ?? readReply(outcome.body)
  const message = conversing.has(outcome.status) ? reply?.message : undefined
  const cut = typeof outcome.body === 'string' ? cutContent(outcome.body, message?.content) : undefined
  return {
    status: outcome.status,
    httpStatus: outcome.httpStatus,
    contentType: outcome.contentType,
    body: await storedBody(cut?.frame ?? outcome.body),
    contentAt: cut?.contentAt,
    message: message && assistantMessageText(message),
    canonicalMessage: message && canonicalMessage({ role: 'assistant', ...message }),
    // It is part of a key, and an index has room for only so much.
    responseModel: storable(reply?.responseModel)?.slice(0, maxModelLength),
    providerResponseId: storable(reply?.providerResponseId),
    finishReasons: reply?.finishReasons ?? [],
    usage: reply?.usage ?? {},
    costNanousd: outcome.costNanousd,
    latencyMs: rounded(outcome.latencyMs),
    timeToFirstChunkMs: rounded(outcome.timeToFirstChunkMs),
    errorCode: outcome.errorCode,
    errorMessage: storable(outcome.errorMessage)?.slice(0, maxErrorLength),
    response: await responseEnd(outcome.response),
    createdAt: outcome.createdAt ?? Date.now(),
  }
}

async function responseEnd(ended: ResponseEnd | undefined): Promise<Settlement['response']> {
  if (ended === undefined) return undefined
  return { ...ended, body: await encodeCompressed(Buffer.from(ended.body)) }
}

function storedBody(body: string | Uint8Array | undefined): string | Promise<Uint8Array> | undefined {
  return body instanceof Uint8Array ? encodeCompressed(body) : body
}

function readReply(body: string | Uint8Array | undefined): Reply | undefined {
  if (typeof body !== 'string') return undefined
  try {
    return readCompletion(JSON.parse(body))
  } catch {
    return undefined
  }
}

function rounded(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : Math.round(milliseconds)
}

/** PostgreSQL refuses NUL in text; a provider must not be able to make its own call unrecordable. */
function storable(text: string | undefined): string | undefined {
  return text?.replaceAll('\u0000', '\ufffd').toWellFormed()
}
