import { SteleError } from '../errors.ts'
import type { LiveCall } from './live-call.ts'

/**
 * Lets through the chunks of a provider's reply up to `limit` bytes in all: it is kept in memory until it is recorded.
 * The returned function raises provider_reply_too_large for the chunk that exceeds it.
 */
export function sizeLimit(
  { provider }: Pick<LiveCall, 'provider'>,
  limit: number,
): (chunk: Uint8Array) => Uint8Array {
  let size = 0
  return chunk => {
    size += chunk.length
    if (size > limit) throw new SteleError('provider_reply_too_large', { provider, limit })
    return chunk
  }
}
