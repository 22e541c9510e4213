import { expect, test } from 'vitest'
import { assistant, begin, completed, completionBody, system, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { storedBytes } from '../harness/rows.ts'
import { type Spell, spellings } from '../harness/spellings.ts'

const paragraph = 'Words of a usual length, as people write them. '.repeat(6)

const resentWhole = spellings['assistant messages resent whole'] as Spell

/** What a conversation costs to keep, although clients send all of it every time. */
export function growthSuite(bed: Bed): void {
  test('100 turns take at most 12 times the bytes of 10', async () => {
    expect(await growth(bed, resentWhole, 0)).toBeLessThanOrEqual(12)
  })
}

/** The same for every client and tool, which the kind of database has no part in. */
export function growthInDetailSuite(bed: Bed): void {
  test.for(Object.entries(spellings))(
    '100 turns take at most 12 times the bytes of 10 (%s)',
    async ([, spell]) => {
      expect(await growth(bed, spell, 0)).toBeLessThanOrEqual(12)
    },
  )

  test.for([1, 2, 3, 4, 7, 10])(
    '100 turns with %i tool results each take at most 12 times the bytes of 10',
    async results => {
      expect(await growth(bed, resentWhole, results)).toBeLessThanOrEqual(12)
    },
  )
}

async function growth(bed: Bed, spell: Spell, results: number): Promise<number> {
  return (await bytesOf(bed, spell, 100, results)) / (await bytesOf(bed, spell, 10, results))
}

/** Bytes that a conversation of some turns takes, each turn a question or the results of tools. */
async function bytesOf(bed: Bed, spell: Spell, turns: number, results: number): Promise<number> {
  const stele = await (await bed.place()).stele()
  const history: Record<string, unknown>[] = [system(paragraph)]
  for (let turn = 0; turn < turns; turn++) {
    if (results === 0 || turn === 0) history.push(user(`${turn} ${paragraph}`))
    else {
      for (let index = 0; index < results; index++) {
        history.push({
          role: 'tool',
          tool_call_id: `call_${turn - 1}_${index}`,
          content: `${index} ${paragraph}`,
        })
      }
    }
    const toolCalls = Array.from({ length: results }, (_, index) => ({
      id: `call_${turn}_${index}`,
      type: 'function',
      function: { name: 'look', arguments: '{}' },
    }))
    const tools = results === 0 ? {} : { tool_calls: toolCalls }
    const call = await begin(stele, spell(history))
    await stele.recorder.settle(call, completed(completionBody(`${turn} ${paragraph}`, { message: tools })))
    history.push(assistant(`${turn} ${paragraph}`, tools))
  }
  expect(await stele.conversations.list()).toHaveLength(1)
  return storedBytes(stele)
}
