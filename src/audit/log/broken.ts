import { SteleError } from '../../errors.ts'

/** Says why nothing more is taken into the log. */
export function broken(reason: string): SteleError {
  return new SteleError('audit_log_broken', { reason })
}
