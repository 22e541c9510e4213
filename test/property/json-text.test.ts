import fc from 'fast-check'
import { expect, test } from 'vitest'
import { arrayElements, objectMembers } from '../../src/model/json-text.ts'
import { json, name, spelled } from './arbitrary-json.ts'

const object = fc.dictionary(name, json, { maxKeys: 6 })

test('the members of any object are found where they stand', () => {
  fc.assert(
    fc.property(
      object.chain(value => fc.tuple(fc.constant(value), spelled(value))),
      ([value, source]) => {
        const members = objectMembers(source)
        expect(members.map(member => member.name)).toEqual(Object.keys(value))
        for (const { name, start, end } of members) {
          expect(source.slice(start, end)).toBe(source.slice(start, end).trim())
          expect(JSON.parse(source.slice(start, end))).toEqual(JSON.parse(JSON.stringify(value[name])))
        }
      },
    ),
  )
})

test('the elements of any array are found where they stand', () => {
  fc.assert(
    fc.property(
      fc.array(json, { maxLength: 6 }).chain(value => fc.tuple(fc.constant(value), spelled(value))),
      ([value, source]) => {
        const elements = arrayElements(source, 0).map(
          ({ start, end }) => JSON.parse(source.slice(start, end)) as unknown,
        )
        expect(elements).toEqual(JSON.parse(JSON.stringify(value)))
      },
    ),
  )
})

test('an object that starts anywhere in a text is read from there', () => {
  fc.assert(
    fc.property(
      object.chain(value =>
        fc.tuple(fc.constant(value), spelled({ before: '{"', inner: value, after: [1] })),
      ),
      ([value, source]) => {
        const inner = objectMembers(source).find(member => member.name === 'inner')
        const members = objectMembers(source, inner?.start)
        expect(members.map(({ name }) => name)).toEqual(Object.keys(value))
      },
    ),
  )
})

test('members named twice are all found, in order', () => {
  const members = objectMembers(' { "a" : 1 , "b":[{"a":0}], "a" : {"b":"}"} } ')
  expect(members.map(({ name }) => name)).toEqual(['a', 'b', 'a'])
})
