import type { Batch } from '../db/batch.ts'
import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import type { CallStart, DocumentStart } from '../model/call.ts'
import { absentContent, encodeContent } from '../privacy/content.ts'
import { eventRow } from '../store/audit-events.ts'
import type { Ending } from './apply-settles.ts'
import type { DocumentEnding, DocumentOperation, OperationResult } from './operations.ts'

type Making = CallStart & { readonly document: DocumentStart }

/**
 * Writes the documents that calls begin. One that is made again gets the next number of its history. Costs nothing when no
 * call is of a document. @throws SteleError document_not_found
 */
export async function beginDocuments(batch: Batch, starts: readonly CallStart[]): Promise<void> {
  const making = starts.filter((start): start is Making => start.document !== undefined)
  if (making.length === 0) return
  const numbers = new Map<string, number>()
  for (const start of making) {
    const { callId, userId, apiKeyId, document, documentKind, instanceId, createdAt } = start
    const { id, previousId } = document
    const { root, number } = await placeInHistory(batch, start, numbers)
    const row: Row<'documents'> = {
      user_id: userId,
      id,
      call_id: callId,
      document_type: documentKind?.type ?? '',
      document_version: documentKind?.version ?? '',
      root_id: root,
      previous_id: previousId ?? null,
      number,
      status: 'in_progress',
      api_key_id: apiKeyId ?? null,
      instance_id: instanceId,
      input: encodeContent(document.input),
      output: null,
      error_code: null,
      error_message: null,
      total_tokens: null,
      created_at: createdAt,
      ended_at: null,
      deleted_at: null,
    }
    await batch.insert('documents', [{ ...row, writtenWith: apiKeyId }])
  }
}

/** The first document of the history that a document goes on, which is held until commit, and the number it gets there. */
async function placeInHistory(
  batch: Batch,
  { userId, document: { id, previousId } }: Making,
  numbers: Map<string, number>,
): Promise<{ root: string; number: number }> {
  if (previousId === undefined) return { root: id, number: 1 }
  const [previous] = await batch.find(
    'documents',
    ['id', 'user_id'],
    [{ id: previousId, user_id: userId }],
    ['root_id', 'number', 'deleted_at'],
  )
  if (previous === undefined || previous.deleted_at !== null)
    throw new SteleError('document_not_found', { document: previousId }, { param: 'regenerates' })
  const root = previous.root_id
  const key = { root_id: root, user_id: userId }
  // The first one may have gone with its time; then the index keeps two from getting one number.
  await batch.find('documents', ['id', 'user_id'], [{ id: root, user_id: userId }], ['id'], { lock: true })
  const rows = await batch.find('documents', ['root_id', 'user_id'], [key], ['number'])
  const name = `${root} ${userId}`
  const number = Math.max(numbers.get(name) ?? 0, ...rows.map(row => row.number)) + 1
  numbers.set(name, number)
  return { root, number }
}

/** Writes how the documents ended whose last calls end. Costs nothing when no call is of a document. */
export async function endDocuments(batch: Batch, endings: readonly Ending[]): Promise<void> {
  const updates = endings.flatMap(({ call, settlement: { document, createdAt } }) =>
    document === undefined
      ? []
      : [
          {
            set: { ...endOf(document, createdAt), call_id: call.callId },
            match: { id: document.id, user_id: call.userId, status: 'in_progress' },
            writtenWith: call.apiKeyId,
          },
        ],
  )
  if (updates.length === 0) return
  await batch.update('documents', [...ending, 'call_id'], ['id', 'user_id', 'status'], updates)
}

const ending = ['status', 'output', 'error_code', 'error_message', 'ended_at'] as const

function endOf({ status, output, errorCode, errorMessage }: DocumentEnding, at: number) {
  return {
    status,
    output: output ?? null,
    error_code: errorCode ?? null,
    error_message: errorMessage ?? null,
    ended_at: at,
  }
}

const deletion = ['input', 'output', 'error_message', 'status', 'deleted_at'] as const

/** Changes a document outside its calls. `isRepeat` says that there was nothing to change. */
export async function changeDocument(
  batch: Batch,
  { userId, id, change, at }: DocumentOperation,
): Promise<OperationResult> {
  const key = { id, user_id: userId }
  const columns = ['status', 'api_key_id', 'deleted_at'] as const
  const [row] = await batch.find('documents', ['id', 'user_id'], [key], columns, { lock: true })
  const isDue = change.kind === 'end' ? row?.status === 'in_progress' : row?.deleted_at === null
  if (row === undefined || !isDue) return { conversationId: undefined, isRepeat: true }
  if (change.kind === 'end') {
    const writtenWith = row.api_key_id ?? undefined
    await batch.update(
      'documents',
      ending,
      ['id', 'user_id'],
      [{ set: endOf(change.end, at), match: key, writtenWith }],
    )
  } else {
    // What is still being made must not come back with the end of its call.
    const status = row.status === 'in_progress' ? 'failed' : row.status
    const set = { input: absentContent(), output: null, error_message: null, status, deleted_at: at }
    await batch.update('documents', deletion, ['id', 'user_id'], [{ set, match: key }])
    const { apiKeyId: by = 'library' } = change
    const event = { userId, by, action: 'document.deleted', target: id } as const
    await batch.insert('audit_events', [eventRow(event, at)])
  }
  return { conversationId: undefined, isRepeat: false }
}
