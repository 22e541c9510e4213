import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalJson, canonicalMessage } from '../../src/model/canonical.ts'
import { json, spelled, text } from './arbitrary-json.ts'

const message = fc.record(
  {
    role: fc.constantFrom('user', 'assistant', 'tool', 'system'),
    content: fc.oneof(
      text,
      fc.constant(null),
      fc.array(fc.record({ type: fc.constant('text'), text }), { maxLength: 3 }),
    ),
    name: text,
    tool_calls: fc.array(json, { maxLength: 2 }),
  },
  { requiredKeys: ['role', 'content'] },
)

test('the normal form does not depend on spacing, escapes or the order of members', () => {
  fc.assert(
    fc.property(
      message.chain(value =>
        fc.tuple(fc.constant(value), fc.tuple(spelled(value), spelled(shuffled(value)))),
      ),
      ([value, sources]) => {
        const forms = sources.map(source => canonicalMessage(JSON.parse(source) as Record<string, unknown>))
        expect(new Set([canonicalMessage(value), ...forms]).size).toBe(1)
      },
    ),
  )
})

test('two messages that say different things have different normal forms', () => {
  fc.assert(
    fc.property(text, text, (one, other) => {
      fc.pre(one !== other && one.isWellFormed() && other.isWellFormed())
      for (const role of ['user', 'tool']) {
        expect(canonicalMessage({ role, content: one })).not.toBe(canonicalMessage({ role, content: other }))
      }
    }),
  )
})

test('canonical JSON says the same as what it was made from, and is its own canonical form', () => {
  fc.assert(
    fc.property(json, value => {
      const canonical = canonicalJson(value)
      expect(JSON.parse(canonical)).toEqual(JSON.parse(JSON.stringify(value)))
      expect(canonicalJson(JSON.parse(canonical))).toBe(canonical)
    }),
  )
})

test.for<[string, Record<string, unknown>, Record<string, unknown>]>([
  ['absent and null members', { role: 'user', content: 'q', name: null }, { role: 'user', content: 'q' }],
  [
    'a lone text part and its string',
    { role: 'user', content: [{ type: 'text', text: 'q' }] },
    { role: 'user', content: 'q' },
  ],
  [
    'what a provider adds to its message',
    {
      role: 'assistant',
      content: 'a',
      refusal: null,
      annotations: [],
      reasoning_content: 'hm',
      tool_calls: [],
    },
    { role: 'assistant', content: 'a' },
  ],
  [
    'no content and empty content of an assistant',
    { role: 'assistant', content: '' },
    { role: 'assistant', content: null },
  ],
])('%s are alike', ([, one, other]) => {
  expect(canonicalMessage(one)).toBe(canonicalMessage(other))
})

test.for<[string, Record<string, unknown>, Record<string, unknown>]>([
  ['a role', { role: 'user', content: 'q' }, { role: 'system', content: 'q' }],
  ['a name', { role: 'user', content: 'q', name: 'a' }, { role: 'user', content: 'q' }],
  ['empty content and none of a user', { role: 'user', content: '' }, { role: 'user' }],
  [
    'two text parts and one',
    {
      role: 'user',
      content: [
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ],
    },
    { role: 'user', content: 'ab' },
  ],
  [
    'a text part with more to it',
    { role: 'user', content: [{ type: 'text', text: 'a', cache_control: {} }] },
    { role: 'user', content: 'a' },
  ],
  [
    'a tool call',
    { role: 'assistant', content: 'a', tool_calls: [{ id: '1' }] },
    { role: 'assistant', content: 'a', tool_calls: [{ id: '2' }] },
  ],
  ['a refusal', { role: 'assistant', content: null, refusal: 'no' }, { role: 'assistant', content: null }],
])('%s makes a difference', ([, one, other]) => {
  expect(canonicalMessage(one)).not.toBe(canonicalMessage(other))
})

function shuffled(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).reverse())
}
