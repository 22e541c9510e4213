import { SteleError } from '../errors.ts'
import type { LiveCall } from './live-call.ts'

/** A provider's reply up to `limit` bytes: it is kept in memory until it is recorded. @throws SteleError provider_reply_too_large */
export async function* limited(
  { provider }: Pick<LiveCall, 'provider'>,
  body: AsyncIterable<Uint8Array>,
  limit: number,
): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > limit) throw new SteleError('provider_reply_too_large', { provider, limit })
    yield chunk
  }
}
