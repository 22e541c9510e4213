import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'

type Give = (stele: Stele, id: string, value: never) => Promise<unknown>

/** What names something on record may come from anywhere. */
const names: Record<string, Give> = {
  'conversations.get user': (stele, id, value) => stele.conversations.get(value, id),
  'conversations.get': (stele, _, value) => stele.conversations.get('ada', value),
  'conversations.bySession': (stele, _, value) => stele.conversations.bySession('ada', value),
  'conversations.find': (stele, _, value) => stele.conversations.find(value),
  'conversations.forks': (stele, _, value) => stele.conversations.forks('ada', value),
  'conversations.totals': (stele, _, value) => stele.conversations.totals('ada', value),
  'conversations.list user': (stele, _, value) => stele.conversations.list({ userId: value }),
  'conversations.delete user': (stele, id, value) => stele.conversations.delete(value, id),
  'conversations.create user': (stele, _, value) => stele.conversations.create({ userId: value }),
  'messages.list user': (stele, id, value) => stele.messages.list({ userId: value, conversationId: id }),
  'messages.list': (stele, _, value) => stele.messages.list({ userId: 'ada', conversationId: value }),
  'messages.list roles': (stele, id, value) =>
    stele.messages.list({ userId: 'ada', conversationId: id, roles: [value] }),
  'messages.get': (stele, id, value) => stele.messages.get('ada', id, value),
  'messages.delete': (stele, id, value) => stele.messages.delete('ada', id, value),
  'messages.append user': (stele, id, value) =>
    stele.messages.append({ userId: value, conversationId: id, messages: [{ message: user('x') }] }),
  'conversationItems.get': (stele, id, value) => stele.conversationItems.get('ada', id, value),
  'contextSnapshots.latest': (stele, _, value) => stele.contextSnapshots.latest('ada', value),
  'contextSnapshots.delete': (stele, _, value) => stele.contextSnapshots.delete('ada', value),
  'users.get': (stele, _, value) => stele.users.get(value),
  'users.create': (stele, _, value) => stele.users.create(value),
  'users.create email': (stele, _, value) =>
    stele.users.create('eve', value === undefined ? { email: '' } : { email: value }),
  'users.update': (stele, _, value) => stele.users.update(value, { email: 'a@example.org' }),
  'calls.list user': (stele, _, value) => stele.calls.list({ userId: value }),
  'calls.get': (stele, _, value) => stele.calls.get('ada', value),
  'retention.get': (stele, _, value) => stele.retention.get(value),
  'retention.unset': (stele, _, value) => stele.retention.unset(value),
}

const noNames = [undefined, 7, {}, ['ada'], 'nul\0', 'half \ud800']

const limits: Record<string, Give> = {
  'conversations.list': (stele, _, limit) => stele.conversations.list({ userId: 'ada', limit }),
  'conversations.list recent': (stele, _, limit) =>
    stele.conversations.list({ userId: 'ada', recent: true, limit }),
  'messages.list': (stele, id, limit) => stele.messages.list({ userId: 'ada', conversationId: id, limit }),
  'messages.list before': (stele, id, before) =>
    stele.messages.list({ userId: 'ada', conversationId: id, before }),
  'conversationItems.list': (stele, id, limit) =>
    stele.conversationItems.list({ userId: 'ada', conversationId: id, limit, order: 'asc' }),
  'contextSnapshots.list': (stele, id, limit) =>
    stele.contextSnapshots.list({ userId: 'ada', conversationId: id, limit }),
  'users.list': (stele, _, limit) => stele.users.list({ limit }),
  'calls.list': (stele, _, limit) => stele.calls.list({ userId: 'ada', limit }),
  'retention.list': (stele, _, limit) => stele.retention.list({ limit }),
  'retention.run now': (stele, _, now) => stele.retention.run({ dryRun: true, now }),
}

const noLimits = [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '10', null, {}]

/** What a caller gives in the wrong form is refused by name, the same on every database. */
export function libraryInputSuite(bed: Bed): void {
  test('what can name nothing and no number of rows is refused, and changes nothing', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada', messages: [{ message: user('q') }] })
    for (const [name, give] of Object.entries(names))
      for (const value of noNames) {
        const what = `${name} ${JSON.stringify(value)}`
        const error = await give(stele, id, value as never).then(
          () => undefined,
          caught => caught,
        )
        expect(['invalid_value', 'conversation_not_found', 'item_not_found'], what).toContain(error?.code)
      }
    for (const [name, give] of Object.entries(limits))
      for (const value of noLimits)
        await failure('invalid_value', give(stele, id, value as never), `${name} ${JSON.stringify(value)}`)
    const order = 'upwards' as 'asc'
    await failure('invalid_value', stele.messages.list({ userId: 'ada', conversationId: id, order }))
    expect(await countOf(stele, 'messages')).toBe(1)
    expect(await stele.users.list()).toMatchObject([{ id: 'ada' }])
  })

  test('what is no list and no object of fields is refused', async () => {
    const stele = await (await bed.place()).stele()
    const { id } = await stele.conversations.create({ userId: 'ada' })
    for (const odd of ['text', 7, null] as never[]) {
      await failure('invalid_value', stele.conversations.create({ userId: 'ada', messages: odd }))
      await failure('invalid_value', stele.conversations.create({ userId: 'ada', items: odd }))
      await failure(
        'invalid_value',
        stele.messages.append({ userId: 'ada', conversationId: id, messages: odd }),
      )
      await failure(
        'invalid_value',
        stele.messages.append({ userId: 'ada', conversationId: id, messages: [odd] }),
      )
      await failure('invalid_value', stele.conversations.update('ada', id, odd))
      await failure('invalid_value', stele.users.update('ada', odd))
      await failure('invalid_value', stele.retention.set('ada', odd))
    }
    expect(await stele.conversations.list({ userId: 'ada' })).toHaveLength(1)
  })

  test('a user who is named and unknown is not everybody, and a period that is misspelt is none', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await stele.conversations.create({ userId: 'ada' })
    const session: { userId?: string } = {}
    const filter = { userId: session.userId } as { userId: string }
    await failure('invalid_value', stele.conversations.list(filter))
    await failure('invalid_value', stele.calls.list(filter))
    expect(await stele.conversations.list()).toHaveLength(1)
    const misspelt = { content: 7 } as { contentDays?: number }
    await failure('invalid_value', stele.retention.set('ada', misspelt))
    await failure('invalid_value', stele.retention.set('ada', { deletedDays: 7 } as typeof misspelt))
    await failure('invalid_value', place.stele({ retention: misspelt }))
    expect(await stele.retention.list()).toEqual([])
  })
}
