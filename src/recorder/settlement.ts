import { errorTable } from '../errors.ts'
import type { BegunCall, DocumentEnd, Outcome, ResponseEnd } from '../model/call.ts'
import { contentDigest } from '../model/call-record.ts'
import { canonicalMessage } from '../model/canonical.ts'
import type { ConversationHashes } from '../model/hashes.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { assistantMessageText, cutContent, type Reply, readCompletion } from '../model/reply.ts'
import type { Account } from '../model/usage.ts'
import { absentContent, encodeCompressed } from '../privacy/content.ts'
import type { DocumentEnding, Settlement } from './operations.ts'

/** Replies that end up in the conversation. What a failed call said is kept with the call alone. */
const conversing: ReadonlySet<string> = new Set(['completed', 'aborted', 'cached'])

const maxModelLength = 256
const maxErrorLength = 2_000

/** What of a call decides how its end is stored. */
type EndedCall = Pick<BegunCall, 'upToSeq' | 'chainHash' | 'keepsContent'>

/**
 * Turns an outcome into what is stored of it: the reply's text once, its message beside it. Of a call whose content is
 * not kept, everything is left out here already: what is returned waits in queues, and may in files.
 */
export async function settlementOf(
  outcome: Outcome,
  reply: Reply | undefined,
  account: Account,
  call: EndedCall,
  hashes: ConversationHashes,
): Promise<Settlement> {
  const facts = factsOf(outcome, reply, account)
  const isInPlace = conversing.has(outcome.status) && call.upToSeq >= 0 && outcome.isApart !== true
  const message = isInPlace ? reply?.message : undefined
  const canonical = message && canonicalMessage({ role: 'assistant', ...(outcome.said ?? message) })
  if (!call.keepsContent) {
    return {
      ...facts,
      body: outcome.body === undefined ? undefined : absentContent(),
      contentAt: undefined,
      message: message && '',
      canonicalMessage: undefined,
      messageHash: canonical && hashes.chain(call.chainHash, canonical),
      // Stele's own words say nothing of the content; whatever else a caller gives may.
      errorMessage: isOwnError(outcome.errorCode) ? facts.errorMessage : undefined,
    }
  }
  const cut = typeof outcome.body === 'string' ? cutContent(outcome.body, message?.content) : undefined
  return {
    ...facts,
    body: await storedBody(cut?.frame ?? outcome.body),
    bodyDigest: outcome.body === undefined ? undefined : contentDigest(outcome.body),
    contentAt: cut?.contentAt,
    message: message && assistantMessageText(message),
    // What was said in other words than those that are kept waits nowhere but as its hash.
    ...(outcome.said === undefined
      ? { canonicalMessage: canonical }
      : { canonicalMessage: undefined, messageHash: canonical && hashes.chain(call.chainHash, canonical) }),
    response: outcome.response && (await responseEnd(outcome.response)),
    document: outcome.document && (await documentEnding(outcome.document)),
  }
}

/** How a call ends whose process did not live to see it end. */
export function orphanSettlement(): Settlement {
  const outcome: Outcome = {
    status: 'orphaned',
    errorCode: 'orphaned',
    errorMessage: 'The process that made this call ended before its reply was recorded.',
  }
  const nothing = { body: undefined, contentAt: undefined, message: undefined, canonicalMessage: undefined }
  return { ...factsOf(outcome, undefined, unknownAccount), ...nothing }
}

type Facts = Omit<
  Settlement,
  | 'body'
  | 'bodyDigest'
  | 'contentAt'
  | 'message'
  | 'canonicalMessage'
  | 'messageHash'
  | 'response'
  | 'document'
>

/** Of a call whose end nobody knows. */
const unknownAccount: Account = {
  usage: {},
  usageSource: undefined,
  costNanousd: undefined,
  isCostGiven: false,
}

function factsOf(outcome: Outcome, reply: Reply | undefined, account: Account): Facts {
  return {
    status: outcome.status,
    httpStatus: outcome.httpStatus,
    contentType: outcome.contentType,
    // It is part of a key, and an index has room for only so much.
    responseModel: storable(reply?.responseModel)?.slice(0, maxModelLength),
    providerResponseId: storable(reply?.providerResponseId),
    finishReasons: reply?.finishReasons ?? [],
    ...account,
    saved: outcome.saved,
    masked: outcome.masked,
    latencyMs: rounded(outcome.latencyMs),
    timeToFirstChunkMs: rounded(outcome.timeToFirstChunkMs),
    errorCode: outcome.errorCode,
    errorMessage: storable(outcome.errorMessage)?.slice(0, maxErrorLength),
    createdAt: outcome.createdAt ?? Date.now(),
  }
}

async function responseEnd(ended: ResponseEnd): Promise<Settlement['response']> {
  return { ...ended, body: await encodeCompressed(Buffer.from(ended.body)) }
}

/** How a document ended, as it is stored. */
export async function documentEnding({ output, ...end }: DocumentEnd): Promise<DocumentEnding> {
  const errorMessage = storable(end.errorMessage)?.slice(0, maxErrorLength)
  return {
    ...end,
    errorMessage,
    output: output === undefined ? undefined : await encodeCompressed(Buffer.from(output)),
  }
}

function isOwnError(code: string | undefined): boolean {
  return code !== undefined && Object.hasOwn(errorTable, code)
}

function storedBody(body: string | Uint8Array | undefined): string | Promise<Uint8Array> | undefined {
  return body instanceof Uint8Array ? encodeCompressed(body) : body
}

/** What a whole reply says. */
export function readReply(body: string | Uint8Array | undefined): Reply | undefined {
  if (typeof body !== 'string') return undefined
  return readCompletion(maybeJson(body))
}

function rounded(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : Math.round(milliseconds)
}

/** PostgreSQL refuses NUL in text; a provider must not be able to make its own call unrecordable. */
function storable(text: string | undefined): string | undefined {
  return text?.replaceAll('\u0000', '\ufffd').toWellFormed()
}
