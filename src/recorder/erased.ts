import type { StoredBatch } from '../db/batch.ts'
import { idTime, isId } from '../ids.ts'
import type { CallStart } from '../model/call.ts'
import type { Operation, Settlement } from './operations.ts'

/** A call, or what has come of one, as far as it tells when that was begun. */
interface Begun {
  readonly userId: string
  /** The call's, or that of the response which is named after it. */
  readonly id: string
  readonly createdAt: number
}

/**
 * The same operations, without content where their calls were begun before their user was erased: however late such a call
 * ends, or is drained from a spool, it brings nothing back. Looks at no row unless a call is older than its user's key.
 */
export async function withoutErased<O extends Operation>(
  stored: StoredBatch,
  operations: readonly O[],
  keyedAt: (userId: string) => number | undefined,
): Promise<readonly O[]> {
  const mayBeErased = ({ userId, createdAt }: Begun): boolean => {
    const since = keyedAt(userId)
    return since === undefined || createdAt <= since
  }
  const users = new Set(
    operations
      .flatMap(begunIn)
      .filter(mayBeErased)
      .map(({ userId }) => userId),
  )
  if (users.size === 0) return operations
  const rows = await stored.find(
    'users',
    ['id'],
    [...users].sort().map(id => ({ id })),
    ['id', 'erased_at'],
    { lock: 'shared' },
  )
  const erasedAt = new Map(rows.flatMap(row => (row.erased_at === null ? [] : [[row.id, row.erased_at]])))
  if (erasedAt.size === 0) return operations
  const isErased = (begun: Begun): boolean => beganAt(begun) <= (erasedAt.get(begun.userId) ?? -1)
  return operations.map(operation =>
    begunIn(operation).some(isErased) ? (withoutContent(operation, isErased) as O) : operation,
  )
}

/** The operations without what the calls of this user said which were begun until then. */
export function withoutContentOf(operation: Operation, userId: string, erasedAt: number): Operation {
  const isErased = (begun: Begun): boolean => begun.userId === userId && beganAt(begun) <= erasedAt
  return begunIn(operation).some(isErased) ? withoutContent(operation, isErased) : operation
}

function begunIn(operation: Operation): Begun[] {
  switch (operation.kind) {
    case 'begin':
    case 'record':
      return [begunBy(operation.start)]
    case 'begin-all':
      return operation.starts.map(begunBy)
    case 'settle':
      return [begunBy(operation.call)]
    case 'settle-all':
      return operation.endings.map(({ call }) => begunBy(call))
    case 'choose':
      return operation.chosen === undefined
        ? []
        : [begunBy({ ...operation.chosen, userId: operation.userId })]
    case 'respond':
    case 'document':
      return isId('response', operation.id) || isId('document', operation.id)
        ? [{ userId: operation.userId, id: operation.id, createdAt: idTime(operation.id) }]
        : []
    default:
      return []
  }
}

function begunBy({ userId, callId, createdAt }: Pick<CallStart, 'userId' | 'callId' | 'createdAt'>): Begun {
  return { userId, id: callId, createdAt }
}

/** By its id, whatever its record says of when it was made: that may be of an older system. */
function beganAt({ id, createdAt }: Begun): number {
  return isId('call', id) || isId('response', id) || isId('document', id) ? idTime(id) : createdAt
}

function withoutContent(operation: Operation, isErased: (begun: Begun) => boolean): Operation {
  const start = (given: CallStart): CallStart => (isErased(begunBy(given)) ? blankStart(given) : given)
  switch (operation.kind) {
    case 'begin':
      return { ...operation, start: start(operation.start) }
    case 'record':
      return { ...operation, start: start(operation.start), settlement: blankEnd(operation.settlement) }
    case 'begin-all':
      return { ...operation, starts: operation.starts.map(start) }
    case 'settle':
      return {
        ...operation,
        call: { ...operation.call, listing: undefined },
        settlement: blankEnd(operation.settlement),
      }
    case 'settle-all': {
      const endings = operation.endings.map(({ call, settlement }) =>
        isErased(begunBy(call))
          ? { call: { ...call, listing: undefined }, settlement: blankEnd(settlement) }
          : { call, settlement },
      )
      return { ...operation, endings }
    }
    case 'choose':
      // What is not there cannot be taken.
      return { ...operation, chosen: operation.chosen && { ...operation.chosen, message: undefined } }
    case 'respond':
      // The response is gone, so this changes nothing, and holds nothing.
      return { ...operation, change: { kind: 'cancel' } }
    case 'document':
      return { ...operation, change: { kind: 'delete' } }
    default:
      return operation
  }
}

/** A call in no conversation, as one is that is no chat: there is none left that it could belong to. */
function blankStart(start: CallStart): CallStart {
  return {
    ...start,
    request: {
      frame: '',
      messagesAt: undefined,
      separator: ',',
      messages: [],
      promptHash: '',
      contentDigest: undefined,
      keepsContent: false,
    },
    continues: undefined,
    response: undefined,
    document: undefined,
    conversationId: undefined,
    claim: undefined,
    listing: undefined,
  }
}

function blankEnd(settlement: Settlement): Settlement {
  return {
    ...settlement,
    body: undefined,
    bodyDigest: undefined,
    contentAt: undefined,
    message: undefined,
    canonicalMessage: undefined,
    messageHash: undefined,
    providerResponseId: undefined,
    errorMessage: undefined,
    response: undefined,
    document: undefined,
  }
}
