import { expect, test } from 'vitest'
import type { Asked, Served } from '../../faults/journal.ts'
import { checkClient } from '../../faults/oracle-clients.ts'
import { checkQuestion } from '../../faults/oracle-questions.ts'
import type { Recorded } from '../../faults/recorded.ts'
import type { Check } from '../../faults/verdict.ts'
import type { Call } from '../../src/store/calls.ts'

const mark = 'mark-1-2-3-4'
const body = `{"messages":[{"role":"user","content":"${mark}"}]}`

const error: Served = {
  mark,
  request: body,
  kind: 'error 500',
  status: 500,
  sent: Buffer.from('{"error":1}'),
  isWhole: false,
  inputTokens: 3,
  outputTokens: 4,
}
const whole: Served = {
  ...error,
  kind: 'whole',
  status: 200,
  sent: Buffer.from('{"reply":2}'),
  isWhole: true,
}

const asked: Asked = {
  mark,
  user: 'ada',
  body,
  isStream: false,
  hidesUsage: false,
  retells: false,
  idempotencyKey: undefined,
  callId: 'call_2',
  received: '{"reply":2}',
  reply: '{"reply":2}',
  trouble: undefined,
  broke: false,
  left: false,
  other: undefined,
}

function recorded(call: Partial<Call>, reply: string | undefined): Recorded {
  const facts = { userId: 'ada', groupId: 'call_1', ...call } as Call
  return {
    call: facts,
    mark,
    request: Buffer.from(body),
    reply: reply === undefined ? undefined : Buffer.from(reply),
  }
}

const failed = { id: 'call_1', attempt: 1, status: 'failed', httpStatus: 500 } as const
const retried = { id: 'call_2', attempt: 2, routeMode: 'retry' } as const
const completed = {
  ...retried,
  status: 'completed',
  httpStatus: 200,
  inputTokens: 3,
  outputTokens: 4,
} as const
const first = recorded(failed, '{"error":1}')
const second = recorded(completed, '{"reply":2}')

function checksOf(
  calls: readonly Recorded[],
  served: readonly Served[],
  told: Partial<Asked> = {},
): (Check | undefined)[] {
  const client = { ...asked, ...told }
  const { violations, pairs } = checkQuestion({ mark, asked: client, served }, calls)
  return [...new Set([...violations, ...checkClient(client, pairs)].map(({ check }) => check))]
}

test('a question that failed once and was answered then is one group of two calls', () => {
  expect(checksOf([first, second], [error, whole])).toEqual([])
})

const orphaned = recorded({ ...retried, status: 'orphaned' }, undefined)
const unanswered = { reply: undefined, received: undefined, trouble: 'ECONNRESET' }

test('a call that was killed before it was dispatched has no attempt', () => {
  expect(checksOf([first, orphaned], [error], unanswered)).toEqual([])
})

const other = {
  callId: 'call_2',
  received: '{"rep',
  reply: undefined,
  trouble: 'ECONNRESET',
  broke: true,
  left: false,
}

test('a reply that broke off and was had again by its key began as it goes on', () => {
  expect(checksOf([first, second], [error, whole], { other })).toEqual([])
})

const wrongs: [what: string, calls: Recorded[], served: Served[], told: Partial<Asked>, check: Check][] = [
  ['an attempt without a call', [second], [error, whole], {}, 'unrecorded'],
  ['an attempt and no call at all', [], [error], unanswered, 'unrecorded'],
  ['a reply that no attempt brought', [first, second], [whole], {}, 'wrongBytes'],
  ['attempts in another order than their calls', [first, second], [whole, error], {}, 'wrongBytes'],
  ['a failure in other words', [recorded(failed, '{"error":2}'), second], [error, whole], {}, 'wrongBytes'],
  ['a failure cut short', [recorded(failed, '{"er'), second], [error, whole], {}, 'wrongBytes'],
  [
    'another status than was sent',
    [recorded({ ...failed, httpStatus: 429 }, '{"error":1}'), second],
    [error, whole],
    {},
    'wrongBytes',
  ],
  [
    'two groups',
    [first, recorded({ ...completed, groupId: 'call_2' }, '{"reply":2}')],
    [error, whole],
    {},
    'double',
  ],
  [
    'a further attempt that is not said to be one',
    [first, recorded({ ...completed, routeMode: undefined }, '{"reply":2}')],
    [error, whole],
    {},
    'double',
  ],
  [
    'an attempt after one that was answered',
    [recorded({ ...completed, id: 'call_1', attempt: 1, routeMode: undefined }, '{"reply":2}'), second],
    [whole, whole],
    {},
    'double',
  ],
  [
    'an attempt after one whose client left',
    [recorded({ ...failed, status: 'aborted' }, '{"error":1}'), second],
    [error, whole],
    {},
    'double',
  ],
  [
    'a client that was told of the attempt that failed',
    [first, second],
    [error, whole],
    { callId: 'call_1' },
    'wrongBytes',
  ],
  ['a client that got other bytes', [first, second], [error, whole], { reply: '{"reply":3}' }, 'wrongBytes'],
  ['an answer that is recorded as orphaned', [first, orphaned], [error, whole], {}, 'missing'],
  ['an answer that is not recorded', [], [], {}, 'missing'],
  [
    'other bytes when it is asked again',
    [first, second],
    [error, whole],
    { other: { ...other, received: '{"err' } },
    'wrongBytes',
  ],
  [
    'another call when it is asked again',
    [first, second],
    [error, whole],
    { other: { ...other, callId: 'call_1', reply: '{"reply":2}' } },
    'double',
  ],
]

test.each(wrongs)('%s is found', (_, calls, served, told, check) => {
  expect(checksOf(calls, served, told)).toContain(check)
})
