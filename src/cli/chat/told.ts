import { SteleError } from '../../errors.ts'

/** What went wrong, as a person is told; a mistake of this program goes on. */
export function told(error: unknown): Error {
  if (error instanceof SteleError) return error
  throw error
}
