import { expect, test } from 'vitest'
import type { IndexOperation, OperationResult, PostponeOperation } from '../../src/recorder/operations.ts'
import { UnindexedConversations } from '../../src/recorder/unindexed.ts'

type Submitted = IndexOperation | PostponeOperation

const nothing = { conversationId: undefined, isRepeat: false }

/** What is kept, with whoever answers what it submits. */
function kept(answer: (operation: Submitted) => Partial<OperationResult>, isOn = true) {
  const submitted: Submitted[] = []
  const unindexed = new UnindexedConversations({
    isOn,
    submit: async operation => {
      submitted.push(operation)
      return { ...nothing, ...answer(operation) }
    },
  })
  return { unindexed, submitted }
}

const named = ({ conversations = [] }: Submitted) =>
  conversations.map(({ userId, conversationId }) => `${userId} ${conversationId}`)

test('what is added while it is being indexed is indexed once more, what is left is kept', async () => {
  const { unindexed, submitted } = kept(({ conversations }) => {
    if (submitted.length === 1) unindexed.keep('ada', 'a', 'call_3')
    return { isIndexed: submitted.length > 2, left: submitted.length === 2 ? (conversations ?? []) : [] }
  })
  unindexed.keep('ada', 'a', 'call_2')
  unindexed.keep('bob', 'b', 'call_1')
  unindexed.keep('bob', '', 'call_0')
  unindexed.keep('bob', undefined, 'call_0')
  expect(unindexed.lowestCall('call_9')).toBe('call_1')
  expect(await unindexed.index({ limit: 8 })).toBe(false)
  expect(await unindexed.index({ limit: 8, userId: 'ada' })).toBe(false)
  expect(await unindexed.index({ limit: 8 })).toBe(true)
  expect(submitted.map(named)).toEqual([['ada a', 'bob b'], ['ada a'], ['ada a']])
  expect(unindexed.lowestCall('call_9')).toBe('call_9')
})

test('what has been kept for long is queued, and then no more kept', async () => {
  const { unindexed, submitted } = kept(() => ({}))
  for (let index = 0; index < 1_500; index++) unindexed.keep('ada', `c${index}`, 'call_1')
  expect(await unindexed.postpone()).toBe(true)
  expect(submitted).toEqual([])
  expect(await unindexed.postpone(Number.POSITIVE_INFINITY)).toBe(false)
  expect(submitted.map(({ kind, conversations }) => [kind, conversations?.length])).toEqual([
    ['postpone', 1_000],
    ['postpone', 500],
  ])
})

test('a call that is being recorded is told by its id until it is done', async () => {
  const { unindexed } = kept(() => ({}))
  const lowest = () => unindexed.lowestCall('call_9')
  expect(await unindexed.during('call_3', async () => lowest())).toBe('call_3')
  expect(lowest()).toBe('call_9')
})

test('nothing is kept while search is off', () => {
  const { unindexed } = kept(() => ({}), false)
  unindexed.keep('ada', 'a', 'call_1')
  expect(unindexed.lowestCall('call_9')).toBe('call_9')
})
