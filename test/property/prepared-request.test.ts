import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { ConversationHashes } from '../../src/model/hashes.ts'
import { assembleRequest, prepareRequest } from '../../src/model/prepared-request.ts'
import { cutContent, restoreContent } from '../../src/model/reply.ts'
import { json, name, spelled, text } from './arbitrary-json.ts'

const hashes = new ConversationHashes('a test key')
const message = fc.record({
  role: fc.constantFrom('user', 'assistant', 'system', 'tool'),
  content: fc.oneof(text, json),
})
const parameters = fc.dictionary(name, json, { maxKeys: 4 })

/** A request with its messages anywhere among its parameters, spelled at random. */
const request = fc
  .record({
    before: parameters,
    after: parameters,
    messages: fc.array(message, { minLength: 1, maxLength: 5 }),
  })
  .map(({ before, after, messages }) => ({ ...without(before), messages, model: 'm', ...without(after) }))

test('any request is put together again exactly from what is stored of it', () => {
  fc.assert(
    fc.property(request.chain(spelled), source => {
      const prepared = prepareRequest(parseChatRequest(source), hashes)
      const raws = prepared.messages.map(({ raw }) => raw)
      expect(assembleRequest(prepared, raws)).toBe(source)
      if (prepared.messagesAt !== undefined)
        expect(prepared.frame).not.toContain(raws.join(prepared.separator))
    }),
  )
})

test('requests in the usual spellings are always taken apart', () => {
  fc.assert(
    fc.property(request, fc.constantFrom(undefined, 1, 2, '\t'), (value, indent) => {
      const source = JSON.stringify(value, null, indent)
      const prepared = prepareRequest(parseChatRequest(source), hashes)
      expect(prepared.messagesAt).toBeDefined()
      expect(
        assembleRequest(
          prepared,
          prepared.messages.map(({ raw }) => raw),
        ),
      ).toBe(source)
    }),
  )
})

test('how a request is spelled does not change its prompt or its chain, but changes its wire', () => {
  fc.assert(
    fc.property(
      request.chain(value => fc.tuple(spelled(value), spelled(value))),
      ([one, other]) => {
        const [first, second] = [one, other].map(source => prepareRequest(parseChatRequest(source), hashes))
        expect(first?.promptHash).toBe(second?.promptHash)
        expect(first?.messages.map(({ chainHash }) => chainHash)).toEqual(
          second?.messages.map(({ chainHash }) => chainHash),
        )
        const sameText = first?.messages.every(({ raw }, index) => raw === second?.messages[index]?.raw)
        expect(first?.messages.at(-1)?.wireHash === second?.messages.at(-1)?.wireHash).toBe(sameText)
      },
    ),
  )
})

test('the content of any reply is cut out and put back exactly, or left alone', () => {
  fc.assert(
    fc.property(
      fc.tuple(text, fc.array(text, { maxLength: 2 }), parameters).chain(([content, others, more]) => {
        const choices = [content, ...others].map((said, index) => ({
          index,
          message: { role: 'assistant', content: said },
        }))
        return fc.tuple(
          fc.constant(content),
          fc.oneof(spelled({ ...more, choices }), fc.constant(JSON.stringify({ ...more, choices }))),
        )
      }),
      ([content, body]) => {
        const cut = cutContent(body, content)
        if (cut !== undefined) expect(restoreContent(cut.frame, cut.contentAt, content)).toBe(body)
      },
    ),
  )
})

test('the content of a reply in the usual spellings is always cut out', () => {
  fc.assert(
    fc.property(text, fc.constantFrom(undefined, 2), (content, indent) => {
      const body = JSON.stringify(
        { id: 'x', choices: [{ index: 0, message: { role: 'assistant', content } }] },
        null,
        indent,
      )
      expect(cutContent(body, content)).toBeDefined()
    }),
  )
})

/** Parameters of random names must not be those that a request is checked for. */
function without(parameters: Record<string, unknown>): Record<string, unknown> {
  const own = ['model', 'messages', 'stream', 'stream_options', 'user']
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => !own.includes(name)))
}
