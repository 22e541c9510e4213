import { SteleError } from '../errors.ts'
import { quietReasonOf } from '../quiet-error.ts'
import type { AppliedError } from './operations.ts'

/** Why an operation was not applied, in a form that crosses threads and is kept with what is set aside. */
export function describe(error: unknown): AppliedError {
  if (error instanceof SteleError)
    return { code: error.code, details: error.details, param: error.param ?? undefined }
  return { code: 'record_rejected', details: { reason: quietReasonOf(error) } }
}
