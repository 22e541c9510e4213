import { expect, test } from 'vitest'
import { CircuitBreaker } from '../../src/providers/circuit-breaker.ts'

function breaker(failures = 2) {
  const clock = { time: 0 }
  const made = new CircuitBreaker({ failures, coolDown: 1_000, timing: { now: () => clock.time } })
  const fail = () => made.enter()?.failed()
  return { made, clock, fail }
}

test('it opens with the last of the failures, and says so once', () => {
  const { made, fail } = breaker(3)
  expect([fail(), fail(), fail(), fail()]).toEqual([false, false, true, undefined])
  expect([made.state, made.blockedFor]).toEqual(['open', 1_000])
})

test('a success between them starts the count anew', () => {
  const { made, fail } = breaker(2)
  fail()
  expect(made.enter()?.answered()).toBe(false)
  expect([fail(), made.state]).toEqual([false, 'closed'])
})

test('the beginning of an answer is not yet a success: streams that always break off open it', () => {
  const { made } = breaker(2)
  for (const expected of [false, true]) {
    const passage = made.enter()
    expect(passage?.answering()).toBe(false)
    expect(passage?.failed()).toBe(expected)
  }
})

test('one probe at a time is let through when it has cooled down', () => {
  const { made, clock, fail } = breaker(1)
  fail()
  clock.time = 999
  expect([made.enter(), made.state, made.blockedFor]).toEqual([undefined, 'open', 1])
  clock.time = 1_000
  const probe = made.enter()
  expect([made.state, made.enter()]).toEqual(['half-open', undefined])
  expect(probe?.answered()).toBe(true)
  expect([made.state, made.enter() === undefined]).toEqual(['closed', false])
})

test('a probe that fails opens it again, whatever the number of failures', () => {
  const { made, clock, fail } = breaker(3)
  for (let index = 0; index < 3; index++) fail()
  clock.time = 1_500
  expect(made.enter()?.failed()).toBe(true)
  expect(made.blockedFor).toBe(1_000)
})

test('a probe that is abandoned makes room for another', () => {
  const { made, clock, fail } = breaker(1)
  fail()
  clock.time = 1_000
  made.enter()?.abandoned()
  expect(made.enter()?.answering()).toBe(true)
})

test('requests from before it opened neither close it nor keep it open', () => {
  const { made, clock, fail } = breaker(1)
  const [early, late] = [made.enter(), made.enter()]
  fail()
  clock.time = 900
  expect(early?.answered()).toBe(false)
  expect(late?.failed()).toBe(false)
  expect(made.blockedFor).toBe(100)
})

test('a breaker of 0 failures never opens', () => {
  const { made, fail } = breaker(0)
  for (let index = 0; index < 100; index++) expect(fail()).toBe(false)
  expect(made.state).toBe('closed')
})
