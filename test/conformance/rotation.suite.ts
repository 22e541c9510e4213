import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { contentColumnsOf, isOfStore, tableNames } from '../../src/db/tables.ts'
import { rotateDataKey } from '../../src/moving/rotate-data-key.ts'
import { rotateMasterKey } from '../../src/moving/rotate-master-key.ts'
import { generateMasterKey, parseMasterKey } from '../../src/privacy/master-key.ts'
import type { Recorder } from '../../src/recorder/recorder.ts'
import type { Stele } from '../../src/stele.ts'
import { rewrapAll, wrappedByOthers } from '../../src/store/rotate-master.ts'
import { openSecret } from '../../src/store/secrets.ts'
import { exchange, reproduced, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { callWithAll } from '../harness/every-kind.ts'
import { rowsOf, storedRowsOf } from '../harness/rows.ts'

/** The ids of the keys that anything of a user is sealed with. */
async function keysInUse(stele: Stele, userId: string): Promise<string[]> {
  const ids = new Set<string>()
  for (const table of tableNames.filter(name => !isOfStore(name)))
    for (const row of (await storedRowsOf(stele.database, table)) as unknown as Record<string, unknown>[])
      for (const { name } of contentColumnsOf(table)) {
        const value = row[name]
        if ((row['user_id'] ?? row['id']) === userId && value instanceof Uint8Array)
          ids.add(Buffer.from(value).toString('hex', 1, 17))
      }
  return [...ids]
}

/** The same recorder with another way to make changes. */
function changing(recorder: Recorder, change: Recorder['change']): Recorder {
  return new Proxy(recorder, {
    get: (target, name) =>
      name === 'change' ? change : (target[name as 'index'] as typeof target.index).bind(target),
  })
}

export function rotationSuite(bed: Bed): void {
  test('a new data key seals everything of its user anew, and the old one is destroyed', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const { callId } = await callWithAll(stele, [user('question')], 'answer')
    await stele.users.update('ada', { preferences: { a: 1 } })
    await callWithAll(stele, [user('of bob')], 'to bob', { userId: 'bob' })
    const before = await reproduced(stele, callId)
    const found = async (by: Stele): Promise<number> =>
      (await by.search({ userId: 'ada', query: 'question' })).hits.length
    expect(await found(stele)).toBe(1)
    const [old] = await keysInUse(stele, 'ada')
    const bobs = await keysInUse(stele, 'bob')
    const told: [number, number][] = []
    await rotateDataKey(stele, 'ada', { onProgress: (done, total) => told.push([done, total]) })
    const [now, ...more] = await keysInUse(stele, 'ada')
    expect(more).toEqual([])
    expect(now).not.toBe(old)
    expect(await keysInUse(stele, 'bob')).toEqual(bobs)
    expect(told.at(-1)?.[0]).toBe(told.at(-1)?.[1])
    for (const one of [stele, await place.stele()]) {
      expect(await reproduced(one, callId)).toEqual(before)
      expect((await one.users.get('ada'))?.preferences).toEqual({ a: 1 })
      expect(await found(one)).toBe(1)
    }
    expect(
      (await rowsOf(stele, 'search_progress'))
        .filter(row => row.user_id === 'ada')
        .every(row => row.key_id === now),
    ).toBe(true)
    const keys = (await rowsOf(stele, 'data_keys')).filter(key => key.user_id === 'ada')
    expect(keys.find(key => key.id === old)).toMatchObject({ wrapped_key: null })
    expect(keys.filter(key => key.wrapped_key !== null).map(key => key.id)).toEqual([now])
  })

  test('it goes on where it was broken off, while others record', async () => {
    const place = await bed.place()
    const [stele, other] = [await place.stele(), await place.stele()]
    const first = await exchange(stele, [user('first')], 'a')
    const at = Date.now()
    await stele.recorder.change({ kind: 'edit', edit: { action: 'retire-key', userId: 'ada', at } })
    const calls = [first]
    const recording = (async () => {
      for (let n = 0; n < 10; n++) calls.push(await exchange(other, [user(`meanwhile ${n}`)], 'b'))
    })()
    await rotateDataKey(stele, 'ada')
    await recording
    for (const { call, request, response } of calls)
      expect(await reproduced(stele, call.callId)).toEqual({ request, response })
    expect(await keysInUse(stele, 'ada')).toHaveLength(1)
  })

  test('broken off at any step it leaves everything readable, and goes on', async () => {
    const stele = await (await bed.place()).stele()
    const { callId } = await callWithAll(stele, [user('question')], 'answer')
    const before = await reproduced(stele, callId)
    let isDone = false
    for (let steps = 0; !isDone; steps++) {
      let left = steps
      const change: typeof stele.recorder.change = operation =>
        left-- > 0 ? stele.recorder.change(operation) : Promise.reject(new Error('broken off'))
      const recorder = changing(stele.recorder, change)
      isDone = await rotateDataKey({ database: stele.database, recorder }, 'ada').then(
        () => true,
        () => false,
      )
      expect(await reproduced(stele, callId)).toEqual(before)
      expect(steps).toBeLessThan(50)
    }
    expect(await keysInUse(stele, 'ada')).toHaveLength(1)
    const keys = await rowsOf(stele, 'data_keys')
    const living = keys.filter(key => key.wrapped_key !== null)
    expect(living.map(key => key.id)).toEqual(await keysInUse(stele, 'ada'))
    expect(keys).toHaveLength(2)
  })

  test('one that is late destroys no key that a later one has retired', async () => {
    const stele = await (await bed.place()).stele()
    const first = await exchange(stele, [user('first')], 'a')
    const calls = [first]
    const change: typeof stele.recorder.change = async operation => {
      if (operation.kind === 'edit' && operation.edit.action === 'destroy-retired') {
        await rotateDataKey(stele, 'ada')
        const at = Date.now()
        await stele.recorder.change({ kind: 'edit', edit: { action: 'retire-key', userId: 'ada', at } })
        calls.push(await exchange(stele, [user('second')], 'b'))
      }
      return stele.recorder.change(operation)
    }
    const recorder = changing(stele.recorder, change)
    await rotateDataKey({ database: stele.database, recorder }, 'ada')
    for (const { call, request, response } of calls)
      expect(await reproduced(stele, call.callId)).toEqual({ request, response })
    await rotateDataKey(stele, 'ada')
    expect(await keysInUse(stele, 'ada')).toHaveLength(1)
  })

  test('what is kept plain, or as a digest, stays so', async () => {
    const place = await bed.place()
    const plain = await place.stele({ contentMode: 'plain' })
    const { call } = await exchange(plain, [user('in the open')], 'a')
    await plain.close()
    const hashed = await place.stele({ contentMode: 'hashed' })
    const other = await exchange(hashed, [user('unkept')], 'b')
    await rotateDataKey(hashed, 'ada')
    const rows = await storedRowsOf(hashed.database, 'llm_requests')
    const forms = rows.map(({ params }) => (params as unknown as Uint8Array)[0])
    expect(forms.sort()).toEqual([0x06, 0x07])
    expect((await reproduced(hashed, call.callId)).request).toContain('in the open')
    await failure('content_not_kept', hashed.calls.exactRequest('ada', other.call.callId))
  })

  test('a rotation that another has overtaken ends, and wraps nothing with a key that is given up', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    await exchange(stele, [user('question')], 'answer')
    const [slow, fast] = [generateMasterKey(), generateMasterKey()]
    const all = [slow, fast, parseMasterKey(place.masterKey)]
    const masters = {
      find: (id: string) => all.find(key => key.id === id) ?? expect.fail(`no key ${id}`),
    }
    let isOvertaken = false
    const overtake = async () => {
      if (isOvertaken) return
      isOvertaken = true
      await rewrapAll(stele.database, masters, fast)
    }
    await failure('rotation_running', rewrapAll(stele.database, masters, slow, overtake))
    expect(await wrappedByOthers(stele.database, fast)).toBe(0)
  })

  test('a secret that is being made meanwhile is wrapped by the new master key', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const [old, next] = [parseMasterKey(place.masterKey), generateMasterKey()]
    const masters = { find: (id: string) => (id === next.id ? next : old) }
    const make = async () => {
      await rewrapAll(stele.database, masters, next)
      return randomBytes(32)
    }
    await openSecret(stele.database, 'late', id => masters.find(id ?? ''), make)
    expect(await wrappedByOthers(stele.database, next)).toBe(0)
  })

  test('a new master key wraps everything anew, and the old one opens nothing any more', async () => {
    const place = await bed.place()
    const masterKey = randomBytes(32).toString('base64')
    const running = await place.stele()
    const { call, request, response } = await exchange(running, [user('question')], 'answer')
    await failure('master_key_mismatch', place.stele({ masterKey }))
    const stele = await place.stele({ masterKey, previousMasterKeys: [place.masterKey] })
    expect(await reproduced(stele, call.callId)).toEqual({ request, response })
    const { rewrapped } = await rotateMasterKey(stele.database, stele.masterKeys)
    expect(rewrapped).toBeGreaterThanOrEqual(3)
    expect((await rotateMasterKey(stele.database, stele.masterKeys)).rewrapped).toBe(0)
    const next = await place.stele({ masterKey })
    expect(await reproduced(next, call.callId)).toEqual({ request, response })
    await exchange(next, [user('later')], 'b', { userId: 'newcomer' })
    await failure('master_key_mismatch', place.stele())
    // One that runs on with the old one records with the keys that it has, and says clearly what it cannot do.
    await exchange(running, [user('known')], 'c')
    const refused = await failure(
      'master_key_mismatch',
      running.recorder.begin({
        userId: 'stranger',
        provider: 'test',
        body: '{"model":"m","messages":[{"role":"user","content":"x"}]}',
      }),
    )
    expect(refused.message).toContain('master key')
  })
}
