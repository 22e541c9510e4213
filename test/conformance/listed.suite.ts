import { expect, test } from 'vitest'
import { copyDatabase } from '../../src/moving/copy.ts'
import { exportLines } from '../../src/moving/export.ts'
import { importLines } from '../../src/moving/import.ts'
import type { Stele } from '../../src/stele.ts'
import { type CompletionFilter, storedCompletionStore } from '../../src/store/stored-completions.ts'
import { begin, chatBody, completed, completionBody, settle, user } from '../harness/chat.ts'
import { type Bed, withKeyOf } from '../harness/databases.ts'
import { countOf, inBatch, rowsOf } from '../harness/rows.ts'

/** One stored completion. */
async function store(stele: Stele, id: string, metadata?: Record<string, string>, userId = 'ada') {
  const call = await begin(stele, chatBody([user(`for ${id}`)], { store: true, metadata }), { userId })
  await settle(stele, call, completed(completionBody('Hello', { id })))
  return call
}

const listed = async ({ database }: Stele, filter: Partial<CompletionFilter> = {}): Promise<string[]> => {
  const found = await storedCompletionStore(database).list({
    userId: 'ada',
    limit: 1_000,
    order: 'asc',
    ...filter,
  })
  return found.map(({ id }) => id)
}

export function listedSuite(bed: Bed): void {
  test('a completion is listed in the transaction that ends its call, for its user alone', async () => {
    const stele = await (await bed.place()).stele()
    const call = await store(stele, 'c-1', { a: 'b' })
    await store(stele, 'c-1', undefined, 'bob')
    const completions = storedCompletionStore(stele.database)
    expect(await completions.get('ada', 'c-1')).toMatchObject({
      id: 'c-1',
      callId: call.callId,
      model: 'test-model-2026',
      metadata: { a: 'b' },
    })
    expect(await completions.get('bob', 'c-1')).toMatchObject({ metadata: {} })
    expect(await completions.get('eve', 'c-1')).toBeUndefined()
    expect(await completions.get('ada', 'c\0')).toBeUndefined()
    expect(await listed(stele)).toEqual(['c-1'])
  })

  test('calls that do not ask for it, or did not end well, are not listed', async () => {
    const stele = await (await bed.place()).stele()
    const plain = await begin(stele, chatBody([user('a')]))
    await settle(stele, plain, completed(completionBody('x')))
    for (const status of ['failed', 'aborted', 'cached'] as const) {
      const call = await begin(stele, chatBody([user(status)], { store: true }))
      await settle(stele, call, { ...completed(completionBody('x')), status })
    }
    await begin(stele, chatBody([user('open')], { store: true }))
    expect(await countOf(stele, 'stored_completions')).toBe(0)
  })

  test('a settle that is repeated lists nothing again', async () => {
    const stele = await (await bed.place()).stele()
    const call = await store(stele, 'c-1')
    await stele.recorder.relist({ userId: 'ada', id: 'c-1', callId: call.callId, change: { deletedAt: 1 } })
    expect(await settle(stele, call, completed(completionBody('Hello', { id: 'c-1' })))).toMatchObject({
      isRepeat: true,
    })
    expect(await listed(stele)).toEqual([])
  })

  test('an id that comes again and again, from several processes at once, breaks no settle', async () => {
    const place = await bed.place()
    const steles = [await place.stele(), await place.stele({ poolSize: 4 })] as const
    await Promise.all(
      steles.flatMap(stele =>
        Array.from({ length: 24 }, (_, index) => store(stele, index % 3 === 0 ? 'other' : 'same')),
      ),
    )
    const [stele] = steles
    expect((await listed(stele)).sort()).toEqual(['other', 'same'])
    expect(await countOf(stele, 'llm_responses')).toBe(24 * steles.length)
  })

  test('a change is one of the completion that was looked at, not of a later one with its id', async () => {
    const stele = await (await bed.place()).stele()
    const first = await store(stele, 'c-1', { n: '1' })
    const second = await store(stele, 'c-1', { n: '2' })
    const change = (callId: string, metadata: string) =>
      stele.recorder.relist({ userId: 'ada', id: 'c-1', callId, change: { metadata } })
    await change(first.callId, '{"n":"late"}')
    expect(await rowsOf(stele, 'stored_completions')).toMatchObject([{ metadata: '{"n":"2"}' }])
    await stele.recorder.relist({ userId: 'bob', id: 'c-1', callId: second.callId, change: { deletedAt: 1 } })
    await change(second.callId, '{"n":"3"}')
    expect(await rowsOf(stele, 'stored_completions')).toMatchObject([
      { metadata: '{"n":"3"}', deleted_at: null },
    ])
  })

  test('metadata is found among many, exactly', async () => {
    const stele = await (await bed.place()).stele()
    const ids = Array.from({ length: 230 }, (_, index) => `c-${String(index).padStart(3, '0')}`)
    await Promise.all(ids.map((id, index) => store(stele, id, { team: index % 3 === 0 ? 'Red' : 'red', id })))
    const red = (await listed(stele, { metadata: new Map([['team', 'red']]) })).sort()
    expect(red).toEqual(ids.filter((_, index) => index % 3 !== 0))
    expect(await listed(stele, { metadata: new Map([['id', 'c-217']]) })).toEqual(['c-217'])
    expect(await listed(stele, { metadata: new Map([['id', 'C-217']]) })).toEqual([])
    expect(await listed(stele, { metadata: new Map([['id', 'c-21_']]), limit: 5 })).toEqual([])
    const all = await listed(stele)
    expect(await listed(stele, { order: 'desc' })).toEqual(all.toReversed())
  })

  test('few among very many are found page by page, in both orders', async () => {
    const stele = await (await bed.place()).stele()
    const first = await store(stele, 'c-0')
    const rows = Array.from({ length: 6_500 }, (_, at) => ({
      user_id: 'ada',
      id: `x-${at}`,
      call_id: `${first.callId}-${String(at).padStart(4, '0')}`,
      model: at === 2_600 ? 'rare' : 'common',
      metadata: JSON.stringify(
        [1, 1_998, 1_999, 4_500, 6_499].includes(at) ? { rare: 'yes' } : { rare: 'no' },
      ),
      created_at: at,
      deleted_at: null,
    }))
    for (let at = 0; at < rows.length; at += 500)
      await inBatch(stele, batch => batch.insert('stored_completions', rows.slice(at, at + 500)))
    const metadata = new Map([['rare', 'yes']])
    const rare = ['x-1', 'x-1998', 'x-1999', 'x-4500', 'x-6499']
    expect(await listed(stele, { metadata })).toEqual(rare)
    expect(await listed(stele, { metadata, order: 'desc' })).toEqual(rare.toReversed())
    expect(await listed(stele, { metadata, limit: 2 })).toEqual(rare.slice(0, 2))
    expect(await listed(stele, { metadata, limit: 2, afterCall: rows[1_998]?.call_id })).toEqual(
      rare.slice(2, 4),
    )
    expect(await listed(stele, { model: 'rare' })).toEqual(['x-2600'])
    expect(await listed(stele, { model: 'common', metadata })).toEqual(rare)
    expect(await listed(stele, { metadata: new Map([['rare', 'no']]), limit: 10_000 })).toHaveLength(6_495)
    let turns = 0
    const count = (): void => {
      turns++
      waiting = setImmediate(count)
    }
    let waiting = setImmediate(count)
    expect(await listed(stele, { model: 'none' })).toEqual([])
    clearImmediate(waiting)
    expect(turns, 'others get their turn').toBeGreaterThanOrEqual(3)
  })

  test('exports and copies bring it along', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await store(stele, 'c-1', { a: 'Grüße' })
    const gone = await store(stele, 'c-2')
    await stele.recorder.relist({ userId: 'ada', id: 'c-2', callId: gone.callId, change: { deletedAt: 7 } })
    const lines: string[] = []
    await exportLines(stele.database, async text => void lines.push(text))
    const target = await (await bed.place()).stele()
    await importLines(
      target.database,
      target.hashes,
      (async function* () {
        yield Buffer.from(lines.join(''))
      })(),
    )
    const rows = await rowsOf(stele, 'stored_completions')
    expect(rows).toHaveLength(2)
    expect(await rowsOf(target, 'stored_completions')).toEqual(rows)

    const other = withKeyOf(await bed.place(), place)
    const { tables } = await copyDatabase(stele.database, other.database())
    expect(tables.find(({ table }) => table === 'stored_completions')).toMatchObject({
      rows: 2,
      difference: undefined,
    })
  })
}
