/** The first wait and the longest, in milliseconds, as OpenAI's own client has them. */
const firstDelay = 500
const longestDelay = 8_000

/**
 * Milliseconds to wait before a retry: exponential backoff with full jitter, so that requests that failed together do
 * not come back together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), after whatever
 * time the provider asked for.
 * @param retry 0 for the first
 * @param asked milliseconds that the provider asked to be left alone
 * @param random from 0 up to 1
 */
export function backoff(retry: number, asked: number | undefined, random: number): number {
  return (asked ?? 0) + random * Math.min(longestDelay, firstDelay * 2 ** retry)
}
