import { expect, test } from 'vitest'
import { assistant, begin, completed, completionBody, system, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { storedBytes } from '../harness/rows.ts'
import { type Spell, spellings } from '../harness/spellings.ts'

const paragraph = 'Words of a usual length, as people write them. '.repeat(6)

/** What a conversation costs to keep, although clients send all of it every time. */
export function growthSuite(bed: Bed): void {
  test.for(Object.entries(spellings))('100 turns take at most 12 times the bytes of 10 (%s)', async ([, spell]) => {
    const ten = await bytesOf(bed, spell, 10, 0)
    const hundred = await bytesOf(bed, spell, 100, 0)
    expect(hundred / ten).toBeLessThanOrEqual(12)
  })

  test.for([1, 2, 3, 4, 7])('100 turns with %i tool results each take at most 12 times the bytes of 10', async results => {
    const spell = spellings['assistant messages resent whole'] as Spell
    const ten = await bytesOf(bed, spell, 10, results)
    const hundred = await bytesOf(bed, spell, 100, results)
    expect(hundred / ten).toBeLessThanOrEqual(12)
  })
}

/** Bytes that a conversation of some turns takes, each turn a question or the results of tools. */
async function bytesOf(bed: Bed, spell: Spell, turns: number, results: number): Promise<number> {
  const stele = await (await bed.place()).stele()
  const history: Record<string, unknown>[] = [system(paragraph)]
  for (let turn = 0; turn < turns; turn++) {
    if (results === 0 || turn === 0) history.push(user(`${turn} ${paragraph}`))
    else {
      for (let index = 0; index < results; index++) {
        history.push({ role: 'tool', tool_call_id: `call_${turn - 1}_${index}`, content: `${index} ${paragraph}` })
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
