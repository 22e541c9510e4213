import type { DocumentEnd } from '../model/call.ts'
import type { Recorder } from './recorder.ts'
import { documentEnding } from './settlement.ts'

type Changing = Pick<Recorder, 'change'>

/**
 * Commits what has come of a document when none of its calls has said so. One that has ended already stays as it is.
 * @throws SteleError store_unavailable
 */
export async function endDocument(recorder: Changing, userId: string, end: DocumentEnd): Promise<void> {
  const change = { kind: 'end', end: await documentEnding(end) } as const
  await recorder.change({ kind: 'document', userId, id: end.id, change, at: Date.now() })
}

/**
 * Removes what a document was made of and what it says; its calls stay on record. False when there is none.
 * @throws SteleError store_unavailable
 */
export async function deleteDocument(
  recorder: Changing,
  userId: string,
  id: string,
  apiKeyId?: string,
): Promise<boolean> {
  const change = { kind: 'delete', apiKeyId } as const
  const { isRepeat } = await recorder.change({ kind: 'document', userId, id, change, at: Date.now() })
  return !isRepeat
}
