import { expect, test } from 'vitest'
import { type ErrorCode, errorBody, errorTable, reasonOf, SteleError } from '../../src/errors.ts'

const codes = Object.keys(errorTable) as ErrorCode[]

test.for(codes)('%s fills its message from the details and has a body as OpenAI writes it', code => {
  const names = [...errorTable[code].message.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '')
  const error = new SteleError(code, Object.fromEntries(names.map(name => [name, `<${name}>`])), {
    param: 'p',
  })
  for (const name of names) expect(error.message).toContain(`<${name}>`)
  expect(error.message).not.toMatch(/\{\w+\}/)
  expect(errorBody(error)).toEqual({
    error: { message: error.message, type: expect.any(String), param: 'p', code },
  })
})

test('a detail is put in as it is, even when it looks like a pattern', () => {
  expect(new SteleError('usage', { reason: "$& $1 {other} $'" }).message).toBe("$& $1 {other} $'")
})

test('a cause is kept, and none is made up', () => {
  const cause = new Error('deeper')
  expect(new SteleError('internal_error', {}, { cause }).cause).toBe(cause)
  expect('cause' in new SteleError('internal_error')).toBe(false)
})

test.for<[unknown, string]>([
  [new Error('one\ntwo'), 'one'],
  [new TypeError(''), 'TypeError'],
  ['text', 'text'],
  [undefined, 'undefined'],
  [new AggregateError([new Error('connect ECONNREFUSED')], ''), 'connect ECONNREFUSED'],
  [new AggregateError([], 'none'), 'none'],
])('the reason of %s is %s, in one line', ([thrown, reason]) => {
  expect(reasonOf(thrown)).toBe(reason)
})
