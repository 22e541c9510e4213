import { expect, test } from 'vitest'
import { newId, responseIdOf } from '../../src/ids.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import { deleteResponse } from '../../src/recorder/respond.ts'
import type { Stele } from '../../src/stele.ts'
import { absentStored } from '../../src/store/contents.ts'
import { responseStore } from '../../src/store/responses.ts'
import { begin, chatBody, completed, completionBody, settle, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'

const input = JSON.stringify([{ id: 'msg_1', type: 'message', role: 'user', content: [] }])

const bodyOf = (status: string) => JSON.stringify({ status, output: [] })

/** A response under way, and how it ends. */
async function started(stele: Stele, said: string, previousResponseId?: string) {
  const callId = newId('call')
  const id = responseIdOf(callId)
  const response = { id, previousResponseId, input, body: bodyOf('in_progress'), metadata: '{"a":"é"}' }
  const call = await begin(stele, chatBody([user(said)]), { callId, response })
  const end = (status = 'completed') =>
    settle(stele, call, {
      ...completed(completionBody('a')),
      response: { id, status, body: bodyOf(status) },
    })
  return { id, callId, end }
}

async function exported({ database }: Stele): Promise<string> {
  let lines = ''
  await exportLines(database, async text => {
    lines += text
  })
  return lines
}

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

const imported = ({ database, hashes }: Stele, lines: string) => importLines(database, hashes, bytes(lines))

describeEachDatabase('responses in an export', bed => {
  test('are the same after an import', async () => {
    const source = await (await bed.place()).stele()
    const first = await started(source, 'one')
    await first.end()
    const second = await started(source, 'two', first.id)
    await second.end('incomplete')
    await deleteResponse(source.recorder, 'ada', second.id)
    const third = await started(source, 'three')
    await third.end()
    const absent = absentStored()
    const kysely = source.database.kysely
    await kysely
      .updateTable('responses')
      .set({ input: absent, body: absent, metadata: null })
      .where('id', '=', third.id)
      .execute()
    const lines = await exported(source)
    const target = await (await bed.place()).stele()
    expect(await imported(target, lines)).toMatchObject({ refused: 0, present: 0 })
    const rows = await rowsOf(source, 'responses')
    expect(rows).toHaveLength(3)
    expect(await rowsOf(target, 'responses')).toEqual(rows)
    expect((await exported(target)).split('\n').slice(1)).toEqual(lines.split('\n').slice(1))
  })

  test('that were under way are given up, until a later export brings their end', async () => {
    const source = await (await bed.place()).stele()
    const { id, callId, end } = await started(source, 'slow')
    const target = await (await bed.place()).stele()
    await imported(target, await exported(source))
    const responses = responseStore(target.database)
    expect(await responses.get('ada', id)).toMatchObject({ status: 'in_progress', seq: undefined })
    expect(await responses.isUnderWay('ada', callId)).toBe(false)
    expect(await responseStore(source.database).isUnderWay('ada', callId)).toBe(true)
    await end()
    const later = await exported(source)
    await imported(target, later)
    expect(await rowsOf(target, 'responses')).toEqual(await rowsOf(source, 'responses'))
    // One that has ended here stays as it is.
    await target.database.kysely.updateTable('responses').set({ status: 'failed' }).execute()
    await imported(target, later)
    expect(await responses.get('ada', id)).toMatchObject({ status: 'failed' })
  })

  test.each([
    ['body', '{"output":{}}'],
    ['body', 'no JSON'],
    ['input', '{}'],
    ['status', 'done'],
    ['previous_response_id', 'resp_1'],
    ['metadata', '{"a":1}'],
  ])('are refused with a wrong %s: %s', async (member, value) => {
    const source = await (await bed.place()).stele()
    await (await started(source, 'x')).end()
    const lines = (await exported(source))
      .split('\n')
      .map(line =>
        line.startsWith('{"type":"response"')
          ? JSON.stringify({ ...JSON.parse(line), [member]: value })
          : line,
      )
    const target = await (await bed.place()).stele()
    await expect(imported(target, lines.join('\n'))).rejects.toMatchObject({ code: 'import_invalid' })
    expect(await rowsOf(target, 'responses')).toEqual([])
  })
})
