import fc from 'fast-check'
import { expect } from 'vitest'
import type { ConversationMemory } from '../../src/library/conversation-memory.ts'
import type { Stele } from '../../src/stele.ts'
import type { Message } from '../../src/store/messages.ts'
import { begin, chatBody, completed, completionBody, settle } from '../harness/chat.ts'
import { failure } from '../harness/errors.ts'
import { type LibraryModel, type ModelConversation, visible } from './library-model.ts'

/** A store that two writers have open, each with a memory of its own. */
export interface RealLibrary {
  readonly writers: readonly [Writer, Writer]
  readonly userId: string
  /** Every text is said once, so that nothing is taken for something else. */
  nextText(): string
}

export interface Writer {
  readonly stele: Stele
  readonly memory: ConversationMemory
}

const kinds = [
  'create',
  'append',
  'append',
  'add',
  'add',
  'add at once',
  'begin',
  'begin',
  'settle',
  'settle',
  'fail',
  'delete message',
  'delete message',
  'delete',
  'restore',
  'purge',
] as const

export interface Step {
  readonly kind: (typeof kinds)[number]
  readonly writer: 0 | 1
  /** Numbers that choose among what there is. */
  readonly which: number
  readonly at: number
}

export const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...kinds),
  writer: fc.constantFrom(0, 1),
  which: fc.nat({ max: 99 }),
  at: fc.nat({ max: 99 }),
})

export const textOf = ({ raw }: Message): string => (JSON.parse(raw) as { content: string }).content

/** Takes one step in the store and in the model. Returns the conversation it was about. */
export async function take(
  { kind, writer, which, at }: Step,
  model: LibraryModel,
  real: RealLibrary,
): Promise<ModelConversation | undefined> {
  const { userId } = real
  const { stele, memory } = real.writers[writer]
  const say = (role = at % 2 === 0 ? 'user' : 'assistant') => ({ role, content: real.nextText() })
  const pick = <T>(list: readonly T[]): T | undefined => list[which % Math.max(1, list.length)]
  const chosen = kind === 'restore' || kind === 'purge' ? pick(model.conversations) : pick(model.living)
  if (kind === 'create' || chosen === undefined) {
    const sessionId = at % 3 === 0 ? `session ${at % 2}` : undefined
    const said = Array.from({ length: which % 3 }, () => say())
    const made = stele.conversations.create({
      userId,
      sessionId,
      messages: said.map(message => ({ message })),
    })
    if (model.holder(sessionId) !== undefined) return void (await failure('already_exists', made))
    const conversation = model.add((await made).id, [], sessionId)
    model.append(conversation, said)
    return conversation
  }
  const place = { userId, conversationId: chosen.id }
  const { messages } = chosen
  switch (kind) {
    case 'append': {
      const said = [say(), say()]
      const expectedSeq = at % 3 === 0 ? undefined : messages.length + (at % 3) - 1
      const added = stele.messages.append({
        ...place,
        expectedSeq,
        messages: said.map(message => ({ message })),
      })
      if (expectedSeq !== undefined && expectedSeq !== messages.length)
        await failure('sequence_conflict', added)
      else {
        expect((await added).map(({ seq }) => seq)).toEqual([messages.length, messages.length + 1])
        model.append(chosen, said)
      }
      break
    }
    case 'add': {
      const message = say()
      expect(await memory.addMessage({ ...place, message })).toMatchObject({ seq: messages.length })
      model.append(chosen, [message])
      break
    }
    case 'add at once': {
      const before = visible(chosen)
      const adding = [0, 1, 0, 1].map(async index => {
        const message = say()
        const memory = real.writers[index === 0 ? 0 : 1].memory
        const { seq } = await memory.addMessage({ ...place, message })
        return { ...message, seq }
      })
      const reading = real.writers.map(({ memory }) => memory.getHistory(place))
      const added = (await Promise.all(adding)).sort((a, b) => a.seq - b.seq)
      expect(added.map(({ seq }) => seq)).toEqual([0, 1, 2, 3].map(index => messages.length + index))
      model.append(chosen, added)
      for (const read of await Promise.all(reading)) {
        expect(read.length).toBeGreaterThanOrEqual(before.length)
        expect(read.map(textOf)).toEqual(visible(chosen).slice(0, read.length))
      }
      break
    }
    case 'begin': {
      // From somewhere in the middle it forks. Where the user has said nothing yet, the conversation must be named.
      const middle = 1 + (at % Math.max(1, messages.length))
      const isTold = messages.slice(0, middle).some(({ role }) => role === 'user')
      const end = at % 3 !== 0 && isTold ? middle : messages.length
      const last = messages[end - 1]
      // What lies with one that is hidden is told anew.
      if (last !== undefined && last.owner.state !== 'living') break
      const question = { role: 'user', content: real.nextText() }
      const history = messages.slice(0, end)
      const body = chatBody([...history.map(({ role, content }) => ({ role, content })), question])
      const named = history.some(({ role }) => role === 'user') ? {} : { conversationId: chosen.id }
      const call = await begin(stele, body, { userId, ...named })
      const isEnd = last === undefined || last.seq === last.owner.messages.length - 1
      const conversation = isEnd ? (last?.owner ?? chosen) : model.add(call.conversationId, history)
      expect(call.conversationId).toBe(conversation.id)
      model.append(conversation, [question])
      model.openCalls.push({ call, conversation, end: conversation.messages.length })
      return conversation
    }
    case 'settle':
    case 'fail': {
      const open = model.openCalls[which % Math.max(1, model.openCalls.length)]
      if (open === undefined) break
      model.openCalls.splice(model.openCalls.indexOf(open), 1)
      const content = real.nextText()
      const outcome = kind === 'fail' ? { status: 'failed' as const } : completed(completionBody(content))
      const { conversationId } = await settle(stele, open.call, outcome)
      if (kind === 'fail') return open.conversation
      const isFree = open.conversation.messages.length === open.end
      // Its place is taken: the reply goes to a fork.
      const conversation = isFree
        ? open.conversation
        : model.add(conversationId, open.conversation.messages.slice(0, open.end))
      expect(conversationId).toBe(conversation.id)
      model.append(conversation, [{ role: 'assistant', content }])
      return conversation
    }
    case 'delete message': {
      const shown = messages.filter(({ isDeleted }) => !isDeleted)
      const message = shown[at % Math.max(1, shown.length)]
      if (message === undefined) break
      const [stored] = await stele.messages.list({ ...place, after: message.seq - 1, limit: 1 })
      expect(stored?.seq).toBe(message.seq)
      await stele.messages.delete(userId, chosen.id, stored?.id ?? '')
      message.isDeleted = true
      break
    }
    case 'delete':
      await stele.conversations.delete(userId, chosen.id)
      chosen.state = 'deleted'
      break
    case 'restore': {
      const restored = stele.conversations.restore(userId, chosen.id)
      if (chosen.state === 'purged') await failure('conversation_not_found', restored)
      else if (chosen.state === 'deleted' && model.holder(chosen.sessionId) !== undefined)
        await failure('already_exists', restored)
      else {
        await restored
        chosen.state = 'living'
      }
      break
    }
    case 'purge': {
      const purged = stele.conversations.purge(userId, chosen.id)
      if (chosen.state === 'purged') await failure('conversation_not_found', purged)
      else if (model.openCalls.some(({ call }) => call.conversationId === chosen.id))
        await failure('conversation_in_use', purged)
      else {
        await purged
        chosen.state = 'purged'
      }
    }
  }
  return chosen
}
