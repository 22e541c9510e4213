import { idTime } from '../../ids.ts'
import type { StoredDocument } from '../../store/documents.ts'
import type { AskedDocument, DocumentOutcome } from './generate.ts'

/**
 * A document as whoever asked for it gets it: in the words that were said, whatever is kept of them.
 * @param known what is on record; undefined while it waits for the database, when nobody knows yet what its calls took
 */
export function madeDocument(
  asked: AskedDocument,
  { id, output }: Pick<DocumentOutcome, 'id' | 'output'>,
  known: StoredDocument | undefined,
): StoredDocument {
  const { type, userId, apiKeyId, callId, previousId } = asked
  const input = JSON.stringify(asked.input)
  if (known !== undefined) return { ...known, input, output }
  return {
    id,
    userId,
    type: type.name,
    version: type.version,
    // One that is made again is placed in its history by the database, which was there to look its beginning up.
    number: 1,
    rootId: id,
    previousId,
    status: 'completed',
    apiKeyId,
    input,
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
