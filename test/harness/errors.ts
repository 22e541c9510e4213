import { expect } from 'vitest'
import { type ErrorCode, SteleError } from '../../src/errors.ts'

/** Waits for a failure with this code and returns it. */
export async function failure(
  code: ErrorCode,
  work: Promise<unknown> | (() => unknown),
  what = code as string,
): Promise<SteleError> {
  let caught: unknown
  try {
    await (typeof work === 'function' ? work() : work)
  } catch (error) {
    caught = error
  }
  expect(caught, what).toBeInstanceOf(SteleError)
  expect((caught as SteleError).code, what).toBe(code)
  return caught as SteleError
}

/** The code of the failure that this ends with. */
export function errorOf(work: () => unknown): ErrorCode | undefined {
  try {
    work()
  } catch (error) {
    if (error instanceof SteleError) return error.code
    throw error
  }
  return undefined
}
