import { expect, test } from 'vitest'
import { parrot, secrets } from '../gateway/masking-upstream.ts'
import { assistant, historyOf, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { exportedText } from '../harness/exported-text.ts'
import { ask, chatOnStore, compare } from './backends.ts'

/** Chats straight on a store whose configuration demands masking. */
export function maskedChatSuite(bed: Bed): void {
  test('the provider gets placeholders, the person reads values, the record has what was said', async () => {
    const { stele, upstream, chat } = await chatOnStore(bed, [parrot], { maskPiiBeforeLlm: true })
    const answer = await ask(chat, `I am ${secrets.mail}`)
    expect(answer.text).toBe(`I am ${secrets.mail}`)
    await ask(chat, 'Who?')
    for (const { text } of upstream.journal) expect(text).not.toContain(secrets.mail)
    expect(upstream.journal[0]?.text).toContain('I am [EMAIL_1]')
    const history = await historyOf(stele, answer.thread.conversationId ?? '')
    expect(history.slice(0, 2)).toEqual([user(`I am ${secrets.mail}`), assistant(`I am ${secrets.mail}`)])
    expect(history).toHaveLength(4)
  })

  test('nothing that is masked in storage is kept, of a comparison neither, and turns go on in one conversation', async () => {
    const { stele, upstream, chat } = await chatOnStore(bed, [parrot], { maskPiiInLogs: true })
    await ask(chat, `I am ${secrets.mail}`)
    const { answers, choose } = await compare(chat, `and ${secrets.card}`, ['a', 'b'])
    expect(answers.map(({ text }) => text.endsWith(secrets.card))).toEqual([true, true])
    await choose(1)
    await ask(chat, 'Who?')
    expect(upstream.journal[0]?.text).toContain(secrets.mail)
    const kept = await exportedText(stele)
    for (const one of [secrets.mail, secrets.card]) expect(kept).not.toContain(one)
    expect(kept).toContain('and [CARD_1]')
    expect(await historyOf(stele, chat.thread.conversationId ?? '')).toHaveLength(6)
  })

  test('what cannot be looked at is neither asked nor kept', async () => {
    const masking = { presidio: { url: 'http://127.0.0.1:9', timeout: 1 } }
    const { stele, upstream, chat } = await chatOnStore(bed, [parrot], { maskPiiBeforeLlm: true, masking })
    await expect(ask(chat, 'Grace')).rejects.toMatchObject({ code: 'masking_unavailable' })
    await expect(compare(chat, 'Grace', ['a', 'b'])).rejects.toMatchObject({ code: 'masking_unavailable' })
    expect(upstream.journal).toHaveLength(0)
    expect(await stele.calls.list()).toEqual([])
  })
}
