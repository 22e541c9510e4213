import { onTestFinished } from 'vitest'
import { Chat } from '../../src/chat/chat.ts'
import { StoreBackend } from '../../src/chat/store-backend.ts'
import { storeCaching } from '../../src/chat/store-cache.ts'
import { resolveConfig } from '../../src/config.ts'
import { configuredMasking } from '../../src/gateway/masking/masking.ts'
import { createProviders } from '../../src/providers/registry.ts'
import type { Stele } from '../../src/stele.ts'
import { type Answer, startUpstream, stream, type Upstream } from '../gateway/upstream.ts'
import { answerEvents } from '../gateway/wire.ts'
import type { Bed, Place } from '../harness/databases.ts'

export interface ChatOnStore {
  readonly place: Place
  readonly stele: Stele
  readonly upstream: Upstream
  readonly backend: StoreBackend
  readonly chat: Chat
  /** Another chat of the same user. */
  another(): Chat
}

/** A chat of `ada` on a real store, with a provider that does what a test says. */
export async function chatOnStore(
  bed: Bed,
  answers: readonly Answer[] = [saying('Hello', ' Ada')],
  config: Record<string, unknown> = {},
): Promise<ChatOnStore> {
  const place = await bed.place()
  const stele = await place.stele()
  const upstream = await startUpstream(...answers)
  const { providers, ...settings } = config
  const test = { baseUrl: upstream.baseUrl, retries: 0 }
  const resolved = resolveConfig(
    { defaultProvider: 'test', ...settings, providers: { test, ...(providers as object) } },
    {},
  )
  const registry = createProviders(resolved, stele)
  onTestFinished(() => registry.close())
  const backend = new StoreBackend({
    stele,
    providers: registry,
    userId: 'ada',
    replyLimit: 1_000_000,
    masking: configuredMasking(resolved),
    compress: resolved.compress,
    caching: storeCaching(stele, registry, resolved),
  })
  const another = (): Chat => new Chat({ backend, model: 'gpt-test' })
  return { place, stele, upstream, backend, chat: another(), another }
}

/** A streamed answer. */
export function saying(...words: string[]): Answer {
  return stream(answerEvents(words))
}

/** Asks without listening. */
export function ask(chat: Chat, text: string, signal = new AbortController().signal) {
  return chat.ask(text, signal, () => undefined)
}

/** Asks several models without listening. */
export function compare(chat: Chat, text: string, models: readonly string[]) {
  return chat.compare(text, models, new AbortController().signal, () => undefined)
}

/** Asks and stops as soon as something has been said. */
export function askAndStop(chat: Chat, text: string) {
  const stop = new AbortController()
  return chat.ask(text, stop.signal, () => stop.abort())
}
