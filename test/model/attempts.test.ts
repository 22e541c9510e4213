import { expect, test } from 'vitest'
import { delayAfter, placeOf } from '../../src/access/attempts.ts'
import { GuessDelays } from '../../src/gateway/guesses.ts'
import { mayBeToken, newToken } from '../../src/store/token.ts'

test('delays double from a second on, and do not grow without end', () => {
  const delays = [5, 6, 7, 8, 11, 12, 13, 1_000_000].map(failures =>
    delayAfter(failures, { free: 5, longest: 60_000 }),
  )
  expect(delays).toEqual([0, 1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000])
})

test('all addresses of an IPv6 network are one place, however they are written', () => {
  const network = [
    '2001:db8:1:2::1',
    '2001:db8:1:2:ffff:ffff:ffff:ffff',
    '2001:0DB8:0001:0002:0:0:0:7',
    '2001:db8:1:2::',
  ]
  expect(new Set(network.map(placeOf)).size).toBe(1)
  expect(placeOf('2001:db8:1:3::1')).not.toBe(placeOf('2001:db8:1:2::1'))
  expect(placeOf('::ffff:192.0.2.1')).toBe(placeOf('192.0.2.1'))
  expect(placeOf('fe80::1%eth0')).toBe(placeOf('fe80::2'))
})

test('a key is wrong once however often it is sent; others are delayed, and forgotten within bounds', () => {
  const guesses = new GuessDelays()
  const now = 1_000_000
  for (let index = 0; index < 100; index++) guesses.note('here', 'the same', now)
  expect(() => guesses.check('here', 'another', now)).not.toThrow()
  for (let index = 0; index < 20; index++) guesses.note('here', `wrong ${index}`, now)
  expect(() => guesses.check('here', 'another', now)).toThrow('Try again in 1 seconds')
  expect(() => guesses.check('there', 'another', now)).not.toThrow()
  expect(() => guesses.check('here', 'another', now + 1_000)).not.toThrow()
  for (let index = 0; index < 10_000; index++) guesses.note(`address ${index}`, 'wrong', now)
  expect(() => guesses.check('here', 'another', now)).not.toThrow()
})

test('a mistyped secret is known by its checksum, and what Stele did not make is not judged', () => {
  for (let index = 0; index < 100; index++) {
    const token = newToken('sk-stele-')
    expect(token).toMatch(/^sk-stele-[\w-]{49}$/)
    expect(mayBeToken('sk-stele-', token)).toBe(true)
    const at = 9 + (index % 49)
    const typo = token.slice(0, at) + (token[at] === 'x' ? 'y' : 'x') + token.slice(at + 1)
    expect(mayBeToken('sk-stele-', typo), typo).toBe(false)
  }
  for (const other of ['', 'sk-stele-', `sk-stele-${'a'.repeat(43)}`, 'a-secret-of-my-own'])
    expect(mayBeToken('sk-stele-', other)).toBe(true)
})
