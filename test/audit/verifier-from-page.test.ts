import { expect, test } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import { exchange, user } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { seeded } from './mutations.ts'
import { verifyExport } from './verifier-from-page.ts'

interface Exported {
  readonly stele: Stele
  readonly bytes: Buffer
  readonly selection: Buffer
  readonly keys: readonly string[]
  readonly kept: readonly string[]
}

/** An export of a life of a log: calls, an erased user, two keys, several checkpoints. */
async function exported(): Promise<Exported> {
  const stele = await (await sqlitePlace()).stele({ audit: { sequence: false } })
  const kept: string[] = []
  const sequence = async (): Promise<void> => {
    await stele.auditLog.sequence()
    kept.push((await stele.auditLog.latest())?.note ?? '')
  }
  for (const userId of ['ada', 'bob']) {
    await exchange(stele, [user('q')], 'a', { userId })
    await sequence()
  }
  for (let at = 0; at < 30; at++) {
    const details = { at, words: 'ü "世" \u2028 \u0007' }
    await stele.auditEvents.add({
      userId: at % 2 === 0 ? 'ada' : 'bob',
      by: operator,
      action: 'app.test',
      details,
    })
    if (at === 10) await stele.auditLog.rotateKey()
    if (at % 7 === 0) await sequence()
  }
  await stele.erase('ada', { reason: 'as asked' })
  await sequence()
  const written = async (options?: Parameters<Stele['audit']['export']>[1]): Promise<Buffer> => {
    let lines = ''
    await stele.audit.export(async more => {
      lines += more
    }, options)
    return Buffer.from(lines)
  }
  const keys = (await stele.auditLog.keys()).map(({ vkey }) => vkey)
  return { stele, bytes: await written(), selection: await written({ userId: 'bob' }), keys, kept }
}

test('what is exported is verified by whoever has read the page, with an erased user, two keys and every checkpoint', async () => {
  const { bytes, selection, keys, kept, stele } = await exported()
  const size = (await stele.auditLog.latest())?.size
  expect(verifyExport(bytes, keys, kept)).toEqual({ events: size })
  const bobs = selection
    .toString()
    .split('\n')
    .filter(line => line.startsWith('{"index"')).length
  expect(bobs).toBeGreaterThan(10)
  expect(verifyExport(selection, keys)).toEqual({ events: bobs })
  // A key that nobody was given proves nothing.
  expect(() => verifyExport(bytes, [])).toThrow('the log has not signed it')
  expect(() => verifyExport(selection, keys.slice(0, 1))).toThrow('the log has not signed it')
})

test('changes of an export are found by whoever has read the page', async () => {
  const { bytes, selection, keys, kept } = await exported()
  const random = seeded(7)
  const below = (count: number): number => Math.floor(random() * count)
  const missed: string[] = []
  for (const [name, whole, notes] of [
    ['complete', bytes, kept],
    ['selection', selection, []],
  ] as const) {
    for (let turn = 0; turn < 400; turn++) {
      const changed = changedExport(whole, below)
      if (changed === undefined || changed.equals(whole)) continue
      try {
        verifyExport(changed, keys, notes)
        if (!isOfTheFirstLines(whole, changed) && !isShorterSelection(name, whole, changed))
          missed.push(`${name} ${turn}`)
      } catch (error) {
        expect(error).toBeInstanceOf(Error)
      }
    }
  }
  expect(missed).toEqual([])
})

function changedExport(whole: Buffer, below: (count: number) => number): Buffer | undefined {
  const lines = whole.toString().split('\n').slice(0, -1)
  const at = below(lines.length)
  const other = below(lines.length)
  const joined = (changed: readonly string[]): Buffer =>
    Buffer.from(changed.map(line => `${line}\n`).join(''))
  const ways = [
    () => {
      const bent = Buffer.from(whole)
      const place = below(bent.length)
      bent[place] = (bent[place] ?? 0) ^ (1 << below(8))
      return bent
    },
    () => whole.subarray(0, below(whole.length)),
    () => joined(lines.toSpliced(at, 1)),
    () => joined(lines.toSpliced(at, 0, lines[other] ?? '')),
    () => joined(lines.with(at, lines[other] ?? '').with(other, lines[at] ?? '')),
    () => joined(lines.slice(0, at)),
  ]
  return ways[below(ways.length)]?.()
}

/** The first lines prove nothing, and the page says so: what they tell of time, filter, keys and themselves may be anything. */
function isOfTheFirstLines(whole: Buffer, changed: Buffer): boolean {
  const entries = (of: Buffer): string =>
    of
      .toString()
      .split('\n')
      .filter(line => line.startsWith('{"index"') || line.startsWith('{"checkpoint"'))
      .join('\n')
  return entries(whole) === entries(changed)
}

/** A selection does not prove that there are no others. */
function isShorterSelection(name: string, whole: Buffer, changed: Buffer): boolean {
  const all = new Set(whole.toString().split('\n'))
  return (
    name === 'selection' &&
    changed
      .toString()
      .split('\n')
      .every(line => all.has(line))
  )
}
