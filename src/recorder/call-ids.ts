import { SteleError } from '../errors.ts'
import { isId } from '../ids.ts'

/** Whoever asked under the id of another call has recorded nothing. */
export function idTaken(call: string): SteleError {
  return new SteleError('call_id_taken', { call })
}

/** Ids say when a call was made; partitions and recovery rely on it. */
export function checkCallId(id: string, name: string): string {
  if (!isId('call', id))
    throw new SteleError('invalid_value', {
      name,
      reason: 'it must be a TypeID with the prefix call',
    })
  return id
}
