import { SteleError } from './errors.ts'

/** What the store's answer comes to. @throws SteleError store_unavailable when it takes longer, in milliseconds */
export async function inTime<T>(answer: Promise<T>, milliseconds: number): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new SteleError('store_unavailable', { reason: 'it does not answer' })),
    milliseconds,
  )
  // When it is late nobody waits for what becomes of it.
  answer.catch(() => undefined)
  return Promise.race([answer, late.promise]).finally(() => clearTimeout(timer))
}

/** What an answer comes to that nobody wants any more once the signal is aborted. @throws the signal's reason */
export async function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  answer.catch(() => undefined)
  return Promise.race([answer, aborted.promise]).finally(() => signal.removeEventListener('abort', onAbort))
}
