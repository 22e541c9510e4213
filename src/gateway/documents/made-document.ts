import { idTime } from '../../ids.ts'
import type { StoredDocument } from '../../store/documents.ts'
import type { AskedDocument } from './generate.ts'

/** A document that was made, as far as is known before it is in the database: not what its calls took. */
export function madeDocument(asked: AskedDocument, id: string, output: string | undefined): StoredDocument {
  const { type, input, userId, apiKeyId, callId } = asked
  return {
    id,
    userId,
    type: type.name,
    version: type.version,
    // One that is made again is placed in its history by the database, which was there to look its beginning up.
    number: 1,
    rootId: id,
    previousId: asked.previousId,
    status: 'completed',
    apiKeyId,
    input: JSON.stringify(input),
    output,
    errorCode: undefined,
    errorMessage: undefined,
    createdAt: idTime(callId),
    endedAt: Date.now(),
    callIds: [callId],
    model: undefined,
    inputTokens: undefined,
    outputTokens: undefined,
    totalTokens: undefined,
    costNanousd: undefined,
  }
}
