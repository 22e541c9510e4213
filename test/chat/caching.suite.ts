import { expect, test } from 'vitest'
import { parrot, secrets } from '../gateway/masking-upstream.ts'
import { assistant, historyOf, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { countOf } from '../harness/rows.ts'
import { ask, askAndStop, chatOnStore, saying } from './backends.ts'

/** Chats straight on a store whose configuration caches. */
export function cachedChatSuite(bed: Bed): void {
  test('the same question in a new conversation is answered from the cache, and recorded as that', async () => {
    const { stele, upstream, chat, another } = await chatOnStore(
      bed,
      [saying('one', ' two'), saying('three')],
      {
        cacheMode: 'exact',
      },
    )
    const first = await ask(chat, 'Count')
    expect(first.isCached).toBeUndefined()
    await expect.poll(() => countOf(stele, 'cache_entries')).toBe(1)
    const said: string[] = []
    const next = another()
    const hit = await next.ask('Count', new AbortController().signal, text => void said.push(text))
    expect(hit).toMatchObject({ status: 'completed', isCached: true, text: 'one two', error: undefined })
    expect(hit.usage).toEqual({ inputTokens: 0, outputTokens: 0 })
    expect(said.join('')).toBe('one two')
    expect(upstream.journal).toHaveLength(1)
    expect(await stele.calls.get('ada', hit.callId ?? '')).toMatchObject({
      status: 'cached',
      cacheHit: 'exact',
      inputTokens: 0,
      costNanousd: 0,
    })
    // The conversation goes on from it.
    const more = await ask(next, 'And?')
    expect([more.text, more.thread]).toEqual(['three', hit.thread])
    expect(await historyOf(stele, hit.thread.conversationId ?? '')).toEqual([
      user('Count'),
      assistant('one two'),
      user('And?'),
      assistant('three'),
    ])
  })

  test('it is off unless the configuration says otherwise', async () => {
    const { stele, upstream, chat, another } = await chatOnStore(bed)
    await ask(chat, 'Count')
    await ask(another(), 'Count')
    expect([upstream.journal.length, await countOf(stele, 'cache_entries')]).toEqual([2, 0])
  })

  test('what was stopped is not given again, and masked values come back as they were', async () => {
    const { stele, upstream, chat, another } = await chatOnStore(bed, [parrot], {
      cacheMode: 'exact',
      maskPiiBeforeLlm: true,
    })
    await askAndStop(chat, 'Go on')
    const asked = upstream.journal.length
    await ask(another(), `I am ${secrets.mail}`)
    await expect.poll(() => countOf(stele, 'cache_entries')).toBe(1)
    expect((await ask(another(), `I am ${secrets.mail}`)).text).toBe(`I am ${secrets.mail}`)
    expect(upstream.journal.length).toBe(asked + 1)
    expect((await ask(another(), 'Go on')).isCached).toBeUndefined()
  })
}
