import fc from 'fast-check'
import { expect, test } from 'vitest'
import { countStrings, duplicateName, jsonShape } from '../../src/model/json-shape.ts'
import { json, name, spelled } from './arbitrary-json.ts'

const noLimit = { depth: Number.POSITIVE_INFINITY, values: Number.POSITIVE_INFINITY }

const inner = (value: unknown): unknown[] =>
  value === null || typeof value !== 'object' ? [] : Object.values(value)
const depthOf = (value: unknown): number =>
  value === null || typeof value !== 'object' ? 0 : 1 + Math.max(0, ...inner(value).map(depthOf))
const valuesOf = (value: unknown): number =>
  inner(value).reduce<number>((sum, each) => sum + valuesOf(each), 1)

test('depth, values and strings of any JSON text are counted as its parsed value has them', () => {
  fc.assert(
    fc.property(
      json.chain(value => fc.tuple(fc.constant(value), spelled(value))),
      ([value, source]) => {
        const shape = jsonShape(source, noLimit)
        expect(shape.depth).toBe(depthOf(value))
        expect(shape.strings).toBe(countStrings(JSON.parse(source)))
        expect(shape.values).toBeGreaterThanOrEqual(valuesOf(value) - 1)
        expect(shape.values).toBeLessThan(2 * valuesOf(value) + 1)
        expect(duplicateName(source)).toBeUndefined()
      },
    ),
  )
})

test('a name that any object has twice is found, however it is spelled', () => {
  const place = fc.constantFrom<(object: string) => string>(
    object => object,
    object => `[${object}]`,
    object => `{"messages":[{"role":"user","content":${object}}]}`,
  )
  fc.assert(
    fc.property(name, spelled('x'), place, (twice, other, put) => {
      const spelling = `"${[...Array(twice.length).keys()].map(at => `\\u${twice.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')}"`
      const source = put(`{${spelling}:${other},${JSON.stringify(twice)} : 1}`)
      expect(countStrings(JSON.parse(source))).not.toBe(jsonShape(source, noLimit).strings)
      expect(duplicateName(source)).toBe(twice)
    }),
  )
})

test('counting stops where a limit is exceeded', () => {
  const deep = '['.repeat(1_000)
  expect(jsonShape(deep, { depth: 10, values: 1_000 }).depth).toBe(11)
  expect(jsonShape(`[${'1,'.repeat(1_000)}1]`, { depth: 10, values: 50 }).values).toBe(51)
})

test.each(['', '"', '{"', '"\\', ']]]]', '{"a', '\\"', '[,,,,'])('what is no JSON ends too: %s', text => {
  expect(jsonShape(text, noLimit).depth).toBeLessThan(2)
})
