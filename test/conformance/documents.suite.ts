import { expect, test } from 'vitest'
import type { DocumentTypeDefinition } from '../../src/documents/definition.ts'
import { documentGenerator } from '../../src/gateway/documents/generator.ts'
import { documentIdOf, newId } from '../../src/ids.ts'
import type { DocumentEnd } from '../../src/model/call.ts'
import { copyDatabase } from '../../src/moving/copy.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import { endDocument } from '../../src/recorder/documents.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, settle, user } from '../harness/chat.ts'
import { startChild } from '../harness/children.ts'
import { type Bed, withKeyOf } from '../harness/databases.ts'
import { planInput, planType } from '../harness/documents.ts'
import { failure } from '../harness/errors.ts'
import { countOf, rowsOf } from '../harness/rows.ts'

/** A document under way, and how it ends. */
async function started(
  stele: Stele,
  said: string,
  { userId = 'ada', previousId = undefined as string | undefined } = {},
) {
  const callId = newId('call')
  const id = documentIdOf(callId)
  const call = await begin(stele, chatBody([user(said)]), {
    callId,
    userId,
    documentKind: { type: 'note', version: '1' },
    document: { id, previousId, input: JSON.stringify({ said }) },
  })
  const ending: DocumentEnd = { id, status: 'completed', output: JSON.stringify({ note: said }) }
  return {
    id,
    call,
    end: (document: DocumentEnd = ending) =>
      settle(stele, call, { ...completed(completionBody(said)), document }),
  }
}

async function finished(
  stele: Stele,
  said: string,
  more: Parameters<typeof started>[2] = {},
): Promise<string> {
  const { id, end } = await started(stele, said, more)
  await end()
  return id
}

/** The echo answers with the prompt, which so is the document. */
const echoType = (more: Partial<DocumentTypeDefinition> = {}): DocumentTypeDefinition =>
  planType({ model: 'echo', prompt: { user: '{"title":"{{name}}","steps":["{{goal}}"]}' }, ...more })

export function documentsSuite(bed: Bed): void {
  test('a document begins and ends in the transactions of its calls', async () => {
    const stele = await (await bed.place()).stele()
    const { id, call, end } = await started(stele, 'one')
    expect(await stele.documents.get('ada', id)).toMatchObject({
      status: 'in_progress',
      type: 'note',
      version: '1',
      input: '{"said":"one"}',
      output: undefined,
      callIds: [call.callId],
    })
    await end()
    const ended = await stele.documents.get('ada', id)
    expect(ended).toMatchObject({
      status: 'completed',
      output: '{"note":"one"}',
      model: 'test-model-2026',
      inputTokens: 10,
      outputTokens: 5,
      totalTokens: 15,
      costNanousd: undefined,
    })
    expect(await stele.calls.get('ada', call.callId)).toMatchObject({
      documentType: 'note',
      documentVersion: '1',
    })
    // Ended it stays as it is, whoever says otherwise.
    await settle(stele, call, { ...completed(completionBody('two')), document: { id, status: 'failed' } })
    await endDocument(stele.recorder, 'ada', { id, status: 'failed', errorCode: 'late' })
    expect(await stele.documents.get('ada', id)).toEqual(ended)
  })

  test('a call that is refused begins no document', async () => {
    const stele = await (await bed.place()).stele()
    await failure('document_not_found', started(stele, 'x', { previousId: documentIdOf(newId('call')) }))
    expect([await countOf(stele, 'documents'), await countOf(stele, 'llm_requests')]).toEqual([0, 0])
  })

  test('a process that dies in a call, or between two, leaves failed documents', async () => {
    const place = await bed.place()
    const child = startChild('make-documents.ts', place)
    const ids = (await child.next()) as string[]
    await child.kill()
    const stele = await place.stele()
    expect(await stele.documents.get('ada', ids[1] ?? '')).toMatchObject({ status: 'in_progress' })
    expect(await stele.recorder.start()).toBe(1)
    for (const id of ids)
      expect(await stele.documents.get('ada', id)).toMatchObject({ status: 'failed', errorCode: 'orphaned' })
    const calls = await stele.calls.list({ userId: 'ada' })
    expect(calls.map(({ status }) => status)).toEqual(['completed', 'orphaned'])
  })

  test("nobody sees, continues or deletes another's", async () => {
    const stele = await (await bed.place()).stele()
    const id = await finished(stele, 'of ada')
    await finished(stele, 'of bob', { userId: 'bob' })
    expect(await stele.documents.get('bob', id)).toBeUndefined()
    expect(await stele.documents.history('bob', id)).toEqual([])
    expect((await stele.documents.list({ userId: 'bob' })).map(({ userId }) => userId)).toEqual(['bob'])
    await failure('document_not_found', stele.documents.delete('bob', id))
    await failure('document_not_found', started(stele, 'x', { userId: 'bob', previousId: id }))
    await endDocument(stele.recorder, 'bob', { id, status: 'failed' })
    expect(await stele.documents.get('ada', id)).toMatchObject({ status: 'completed' })
  })

  test('those made again at once, by several processes, have numbers of their own', async () => {
    const place = await bed.place()
    const steles = [await place.stele({ poolSize: 4 }), await place.stele({ poolSize: 4 })] as const
    const [stele] = steles
    const first = await finished(stele, 'first')
    await Promise.all(
      steles.flatMap(each =>
        Array.from({ length: 6 }, (_, index) => finished(each, `again ${index}`, { previousId: first })),
      ),
    )
    const history = await stele.documents.history('ada', first)
    expect(history.map(({ number }) => number)).toEqual(Array.from({ length: 13 }, (_, index) => index + 1))
    expect(new Set(history.slice(1).map(({ previousId }) => previousId))).toEqual(new Set([first]))
    const third = history[2]?.id ?? ''
    expect((await stele.documents.history('ada', third)).length).toBe(13)
  })

  test('totals count by user and type how documents ended and how long they took', async () => {
    const stele = await (await bed.place()).stele()
    for (const said of ['a', 'b']) await finished(stele, said)
    const { id, end } = await started(stele, 'c')
    await end({ id, status: 'invalid' })
    await finished(stele, 'd', { userId: 'bob' })
    await started(stele, 'open', { userId: 'bob' })
    const made = (await rowsOf(stele, 'documents')).filter(
      row => row.user_id === 'ada' && row.status === 'completed',
    )
    const took = made.reduce((sum, row) => sum + (row.ended_at ?? 0) - row.created_at, 0)
    const ada = { userId: 'ada', type: 'note', documents: 3, completed: 2, failed: 0, invalid: 1 }
    const bob = { userId: 'bob', type: 'note', documents: 2, completed: 1, failed: 0, invalid: 0 }
    expect(await stele.documents.totals()).toMatchObject([{ ...ada, averageMs: Math.round(took / 2) }, bob])
    expect(await stele.documents.totals({ userId: 'bob', type: 'note', from: 0 })).toMatchObject([bob])
    expect(await stele.documents.totals({ to: 1_000 })).toEqual([])
  })

  test('a deleted document is empty, and does not come back with the end of its call', async () => {
    const stele = await (await bed.place()).stele()
    const { id, end } = await started(stele, 'secret')
    await stele.documents.delete('ada', id)
    await end()
    expect(await stele.documents.get('ada', id)).toBeUndefined()
    const [row] = await rowsOf(stele, 'documents')
    expect(row).toMatchObject({ status: 'failed', output: null, error_message: null })
    expect(row?.input.byteLength).toBe(1)
    await failure('document_not_found', stele.documents.delete('ada', id))
  })

  test('versions are added and never changed, whoever registers them at once', async () => {
    const place = await bed.place()
    const steles = [await place.stele(), await place.stele()] as const
    const [{ documents }] = steles
    const all = await Promise.allSettled(
      steles.flatMap(each => ['a', 'b', 'a', 'b'].map(model => each.documents.register(planType({ model })))),
    )
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(4)
    for (const each of all)
      if (each.status === 'rejected') await failure('document_type_conflict', Promise.reject(each.reason))
    await documents.register(planType({ version: '1.1' }))
    await documents.register(planType({ version: '0.9' }))
    expect((await documents.types()).map(({ version, number }) => [version, number])).toEqual([
      ['0.9', 3],
      ['1.1', 2],
      ['1.0', 1],
    ])
    expect(await documents.type('plan')).toMatchObject({ version: '0.9' })
    expect(await documents.type('plan', '1.1')).toMatchObject({ number: 2, registeredBy: 'operator' })
    expect(await documents.type('none')).toBeUndefined()
    const events = await rowsOf(steles[0], 'audit_events')
    expect(events.filter(({ action }) => action === 'document_type.registered')).toHaveLength(3)
  })

  test.each([
    ['a name that is none', { name: 'a b' }, 'name'],
    ['a version that is none', { version: '' }, 'version'],
    ['a schema that is none', { inputSchema: { type: 'objekt' } }, 'inputSchema'],
    ['a misspelled keyword', { outputSchema: { typ: 'object' } }, 'outputSchema'],
    ['a reference to elsewhere', { outputSchema: { $ref: 'https://example.org/x.json' } }, 'outputSchema'],
    ['an unknown format', { inputSchema: { type: 'string', format: 'none' } }, 'inputSchema'],
    ['a template without an end', { prompt: { user: '{{#a}}' } }, 'prompt.user'],
    ['a template that names another', { prompt: { user: '{{#a}}{{> b}}{{/a}}' } }, 'prompt.user'],
    ['a parameter that is not its own', { parameters: { messages: [] } }, 'parameters'],
    ['a NUL', { description: 'a\0' }, null],
    ['half a character', { description: '\ud800' }, null],
    [
      'times the wrong way round',
      { validFrom: '2027-01-01T00:00:00Z', validUntil: '2026-01-01T00:00:00Z' },
      null,
    ],
    ['a member there is not', { more: 1 } as object, null],
  ])('a type with %s is refused', async (_what, more, param) => {
    const stele = await (await bed.place()).stele()
    const error = await failure('document_type_invalid', stele.documents.register(planType(more)))
    expect(error.param).toBe(param)
    expect(await countOf(stele, 'document_types')).toBe(0)
  })

  test('the library makes documents as a gateway does', async () => {
    const stele = await (await bed.place()).stele()
    const generator = documentGenerator(stele)
    await stele.documents.register(echoType())
    const first = await generator.generateDocument({ type: 'plan', userId: 'ada', input: planInput })
    expect(first).toMatchObject({
      status: 'completed',
      output: '{"title":"Ada","steps":["a stele"]}',
      apiKeyId: undefined,
      model: 'echo',
      number: 1,
    })
    const again = await generator.generateDocument({ type: 'plan', userId: 'ada', regenerates: first.id })
    expect(again).toMatchObject({ number: 2, previousId: first.id, input: first.input })
    const broken = { name: 'a "quote"', goal: 'x' }
    const error = await failure(
      'document_invalid',
      generator.generateDocument({ type: 'plan', userId: 'ada', input: broken }),
    )
    expect(await stele.documents.get('ada', String(error.details['document']))).toMatchObject({
      status: 'invalid',
      input: JSON.stringify(broken),
    })
    const nobody = { type: 'plan', userId: 'ada' }
    await failure('document_input_invalid', generator.generateDocument({ ...nobody, input: { name: 1 } }))
    await failure('missing_required_parameter', generator.generateDocument(nobody))
    await failure('document_type_not_found', generator.generateDocument({ ...nobody, type: 'x', input: {} }))
    const circle: Record<string, unknown> = {}
    circle['circle'] = circle
    await failure('invalid_value', generator.generateDocument({ ...nobody, input: circle }))
    let deep: unknown = 1
    for (let depth = 0; depth < 1_000; depth++) deep = [deep]
    await failure('json_too_deep', generator.generateDocument({ ...nobody, input: { deep } }))
    const gone = AbortSignal.abort()
    await failure(
      'client_closed_request',
      generator.generateDocument({ ...nobody, input: planInput, signal: gone }),
    )
    expect((await stele.documents.list({ userId: 'ada' })).map(({ status }) => status)).toEqual([
      'failed',
      'invalid',
      'completed',
      'completed',
    ])
    await generator.close()
  })

  test('exports, copies and new keys bring documents and types along', async () => {
    const place = await bed.place()
    const source = await place.stele()
    await source.documents.register(planType())
    const first = await finished(source, 'Grüße')
    await finished(source, 'again', { previousId: first })
    const open = await started(source, 'open')
    const { id, end } = await started(source, 'bad', { userId: 'bob' })
    await end({
      id,
      status: 'invalid',
      output: '"words"',
      errorCode: 'document_invalid',
      errorMessage: 'why',
    })

    const exported = async (userId?: string): Promise<string> => {
      const lines: string[] = []
      await exportLines(source.database, async text => void lines.push(text), { userId })
      return lines.join('')
    }
    const ofBob = (await exported('bob')).split('\n').filter(line => line !== '')
    const kinds = ofBob.map(line => (JSON.parse(line) as { type?: string }).type)
    expect(kinds.filter(kind => kind === 'document')).toHaveLength(1)
    expect(kinds).not.toContain('document_type')
    const target = await (await bed.place()).stele()
    const take = async (text: string) =>
      importLines(
        target.database,
        target.hashes,
        (async function* () {
          yield Buffer.from(text)
        })(),
      )
    const text = await exported()
    await take(text)
    const known = (rows: Awaited<ReturnType<typeof documentRows>>) =>
      rows.map(row => ({ ...row, instance_id: '' }))
    const documentRows = (stele: Stele) => rowsOf(stele, 'documents')
    expect(known(await documentRows(target))).toEqual(known(await documentRows(source)))
    expect(await rowsOf(target, 'document_types')).toEqual(await rowsOf(source, 'document_types'))
    await take(text)
    expect(await countOf(target, 'documents')).toBe(4)
    expect(await target.documents.get('bob', id)).toEqual(await source.documents.get('bob', id))

    expect(await target.documents.get('ada', open.id)).toMatchObject({
      status: 'failed',
      errorCode: 'orphaned',
    })
    await open.end()
    await take(await exported())
    expect(await target.documents.get('ada', open.id)).toMatchObject({
      status: 'completed',
      output: '{"note":"open"}',
    })

    await rotateDataKey(source, 'ada')
    expect(await source.documents.get('ada', first)).toMatchObject({ output: '{"note":"Grüße"}' })
    const other = withKeyOf(await bed.place(), place)
    const { tables } = await copyDatabase(source.database, other.database())
    for (const table of ['documents', 'document_types'])
      expect(tables.find(one => one.table === table)).toMatchObject({ difference: undefined })
    expect(await (await other.stele()).documents.get('ada', first)).toMatchObject({
      output: '{"note":"Grüße"}',
    })
  })
}
