import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { sha256 } from '../../src/audit/digest.ts'
import { checkpointLine, eventLine, headerLine, keyLine } from '../../src/audit/export-line.ts'
import { emptyRoot, type HashReader, inclusionProof, nodeHash } from '../../src/audit/merkle.ts'
import { leafOfEvent } from '../../src/audit/verify/entry.ts'
import { type VerifyExportOptions, verifyAuditExport } from '../../src/audit/verify/export.ts'
import { type AuditVerdict, faultText } from '../../src/audit/verify/verdict.ts'
import { bytesOf, signedCheckpoint, testEntry, testLog, testSigner } from '../harness/audit-log.ts'
import { failure } from '../harness/errors.ts'

const size = 50
const log = testLog(size, 12)
const own: VerifyExportOptions = { keys: [log.signer.vkey] }

const verified = (
  lines: readonly string[],
  options: Partial<VerifyExportOptions> = {},
): Promise<AuditVerdict> => verifyAuditExport(bytesOf(lines), { ...own, ...options })

const faultOf = async (lines: readonly string[], options?: Partial<VerifyExportOptions>): Promise<string> => {
  const { verified: isVerified, fault } = await verified(lines, options)
  expect(isVerified).toBe(false)
  return fault === undefined ? '' : faultText(fault)
}

/** Where the event is among the lines. */
const lineOf = (index: number): number => log.lines.findIndex(line => line.startsWith(`{"index":${index},`))
const edited = (index: number, from: string | RegExp, to: string): string[] => {
  const at = lineOf(index)
  const line = (log.lines[at] ?? '').replace(from, to)
  expect(line).not.toBe(log.lines[at])
  return log.lines.with(at, line)
}

test('an export is verified', async () => {
  expect(await verified(log.lines)).toEqual({
    verified: true,
    fault: undefined,
    entries: size,
    checkpoints: 5,
    size,
    checkpoint: log.notes.get(size),
    complete: true,
  })
  // In pieces of any length, without a line feed at the end, and as daily files, which have no header.
  const bytes = Buffer.from(log.lines.join('\n'))
  async function* pieces() {
    for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777)
  }
  expect((await verifyAuditExport(pieces(), own)).verified).toBe(true)
  expect((await verified(log.lines.slice(1))).verified).toBe(true)
})

test('a line without an end is not read to it', async () => {
  let read = 0
  async function* zeros() {
    yield Buffer.from(`${log.lines[0]}\n`)
    for (;;) {
      read += 1_048_576
      yield Buffer.alloc(1_048_576)
    }
  }
  const { fault } = await verifyAuditExport(zeros(), own)
  expect(fault).toMatchObject({ line: 2, reason: 'it is longer than 16 MiB, as no line of an export is' })
  expect(read).toBeLessThan(20_000_000)
})

test.each([
  ['brackets in brackets', `${'['.repeat(2_000_000)}${']'.repeat(2_000_000)}`],
  ['very many objects', `[${'{},'.repeat(2_000_000)}{}]`],
])('a long line of %s is told without being read whole', async (_what, inner) => {
  const line = `{"index":0,"salt":"x","event":{"v":1,"details":"a text, [with \\" {brackets","more":${inner}}}`
  const parse = vi.spyOn(JSON, 'parse')
  expect(await faultOf([line])).toBe('entry 0, line 1: it is none of the lines of an export')
  expect(parse).not.toHaveBeenCalled()
  parse.mockRestore()
})

test('a long text in a line is none of its parts', async () => {
  const details = JSON.stringify({ words: `${'[{,"\\ '.repeat(200_000)}` })
  const line = (log.lines[lineOf(0)] ?? '').replace(
    '"details":null',
    () => `"details":${JSON.stringify(details)}`,
  )
  expect(await faultOf([line, ...log.lines.slice(1)])).toContain('the event is not the one')
})

test('a line without the hash of its leaf is verified too', async () => {
  const lines = log.lines.map(line => line.replace(/,"leaf":"[^"]+"/, ''))
  expect((await verified(lines)).verified).toBe(true)
})

test('what is wrong is named with its entry, its event and its line', async () => {
  const { id } = testEntry(20).event
  const line = lineOf(20) + 1
  expect(await faultOf(edited(20, '"actor":"ada"', '"actor":"bob"'))).toBe(
    `entry 20, event ${id}, line ${line}: the event is not the one that the log has taken in`,
  )
  // Whoever makes the hash of the leaf fit as well is found by the root, which names the stretch.
  const leafless = edited(20, '"actor":"ada"', '"actor":"bob"').map(one => one.replace(/,"leaf":"[^"]+"/, ''))
  expect(await faultOf(leafless)).toBe(
    `entry 12, line ${log.lines.indexOf(checkpointLine(log.notes.get(24) ?? '')) + 1}: one of the entries from here to 23 is not what the checkpoint that follows them was signed for`,
  )
  expect(await faultOf(log.lines.toSpliced(lineOf(20), 1))).toBe(
    `entry 20, line ${line}: the entry is missing: the one that follows is 21`,
  )
  expect(await faultOf(log.lines.toSpliced(lineOf(20), 0, log.lines[lineOf(20)] ?? ''))).toBe(
    `entry 20, event ${id}, line ${line + 1}: it follows the entry 20`,
  )
  expect(await faultOf(edited(20, '"index":20', '"index": 20'))).toBe(
    `entry 20, line ${line}: it is spelled in another way, or holds more, than an export has it`,
  )
  expect(await faultOf(log.lines.toSpliced(lineOf(20), 0, '{'))).toBe(`entry 20, line ${line}: it is no JSON`)
  expect(await faultOf(log.lines.toSpliced(lineOf(20), 0, '[]'))).toContain('none of the lines')
  expect(await faultOf(log.lines.toSpliced(lineOf(20), 0, ''))).toContain('no JSON')
})

test('content beside an event is what the event has committed to', async () => {
  expect(await faultOf(edited(11, 'What 11 said', 'What 12 said'))).toContain(
    `entry 11, event ${testEntry(11).event.id}, line ${lineOf(11) + 1}: the content beside`,
  )
  // Taken away, it leaves the proof whole: that is what erasure does.
  const at = lineOf(11)
  const { content: _, ...gone } = testEntry(11)
  expect((await verified(log.lines.with(at, eventLine(gone)))).verified).toBe(true)
  // Put beside an event that never had any, it is refused.
  const made = eventLine({ ...testEntry(12), content: { salt: sha256(''), details: '{}' } })
  expect(await faultOf(log.lines.with(lineOf(12), made))).toContain('has no content beside it')
})

test('an export that ends early is told from a whole one', async () => {
  const header = `the export begins with saying that it has ${size} entries, and has 12`
  const atCheckpoint = log.lines.slice(0, lineOf(12))
  expect(await faultOf(atCheckpoint)).toBe(`entry 12: ${header}`)
  // Without the header, daily files up to some checkpoint are a whole log. Whoever has kept a later one knows better.
  expect((await verified(atCheckpoint.slice(1))).verified).toBe(true)
  const kept = { checkpoints: [log.notes.get(size) ?? ''] }
  expect(await faultOf(atCheckpoint.slice(1), kept)).toBe(
    `entry 12: the kept checkpoint is of ${size} entries, and there are only 12`,
  )
  expect(await faultOf(log.lines.slice(1, lineOf(15)))).toBe(
    'entry 12: no checkpoint covers the entries from 12 to 14',
  )
  expect(await faultOf([])).toBe('there is no checkpoint, so nothing is proven')
})

test('a kept checkpoint must be on the way', async () => {
  for (const note of log.notes.values())
    expect((await verified(log.lines, { checkpoints: [note] })).verified).toBe(true)
  // One of a size at which the export has none.
  const other = testLog(size, 7)
  expect((await verified(log.lines, { checkpoints: [...other.notes.values()] })).verified).toBe(true)
  // The log was written anew, by whoever has its key.
  const forged = signedCheckpoint(log.signer, 30, sha256('another history'))
  expect(await faultOf(log.lines, { checkpoints: [forged] })).toMatch(
    /^entry 24, .*the kept checkpoint was signed for$/,
  )
  expect(await faultOf(log.lines, { checkpoints: ['nonsense'] })).toContain('the kept checkpoint: ')
  const empty = signedCheckpoint(log.signer, 0, emptyRoot)
  expect((await verified(log.lines, { checkpoints: [empty] })).verified).toBe(true)
})

test('only the keys that are given count', async () => {
  const { vkey } = testSigner('stele/other')
  expect(await faultOf(log.lines, { keys: [vkey] })).toContain(
    `no key that is known has signed it (the export names the key ${log.signer.vkey}, which was not given)`,
  )
  // Written anew from the first event on, and signed with another key that has the same name.
  const thief = { ...testSigner('thief'), name: log.signer.name }
  const rewritten = testLog(size, 12, thief)
  expect(await faultOf(rewritten.lines)).toContain('no key that is known has signed it')
  // Two logs in one export are none.
  const mixed = [
    ...log.lines.slice(1),
    checkpointLine(signedCheckpoint(testSigner('stele/other'), size, emptyRoot)),
  ]
  expect(await faultOf(mixed, { keys: [log.signer.vkey, vkey] })).toContain('one of the log stele/other')
  await failure('vkey_invalid', verified(log.lines, { keys: ['stele/test'] }))
})

/** A selection of some events, each with its proof. */
async function selection(indexes: readonly number[]): Promise<string[]> {
  const leaves = log.entries.map(({ event, salt }) => leafOfEvent(event, salt))
  const reader: HashReader = {
    async hash(level, index) {
      if (level === 0) return leaves[index] ?? emptyRoot
      return nodeHash(await reader.hash(level - 1, index * 2), await reader.hash(level - 1, index * 2 + 1))
    },
  }
  const header = headerLine({
    audit_export: 1,
    origin: log.signer.name,
    created_at: 1,
    size,
    complete: false,
    filter: { user: 'user-1' },
    checkpoint: log.notes.get(size) ?? '',
    about: 'A selection.',
  })
  const lines = [header, keyLine(log.signer.vkey)]
  for (const index of indexes)
    lines.push(eventLine({ ...testEntry(index), proof: await inclusionProof(reader, index, size) }))
  return lines
}

test('a selection proves each event that it has', async () => {
  const lines = await selection([1, 4, 7, 49])
  expect(await verified(lines)).toMatchObject({ verified: true, entries: 4, size, complete: false })
  // That others are missing it cannot show.
  expect(await verified(lines.toSpliced(3, 1))).toMatchObject({ verified: true, complete: false })
  expect(await faultOf(lines.with(3, lines[4] ?? '').with(4, lines[3] ?? ''))).toContain(
    'it follows the entry 7',
  )
  expect(await faultOf(lines.with(2, eventLine(testEntry(1))))).toContain('entry 1')
  const [first = '', second = ''] = [lines[2], lines[3]]
  const proofOf = (line: string): string => line.slice(line.indexOf(',"proof"'))
  expect(await faultOf(lines.with(2, first.replace(proofOf(first), proofOf(second))))).toContain(
    'its proof does not lead to the root',
  )
  expect(await faultOf(lines, { checkpoints: [log.notes.get(12) ?? ''] })).toContain('a selection is no log')
  expect((await verified(lines, { checkpoints: [log.notes.get(size) ?? ''] })).verified).toBe(true)
  expect(await faultOf([...lines, checkpointLine(log.notes.get(size) ?? '')])).toContain('at its head')
  expect(await faultOf(lines.slice(1))).toMatch(/missing|have proofs/)
})

test('no change of any byte goes unnoticed', async () => {
  const text = Buffer.from(`${log.lines.slice(2).join('\n')}\n`)
  await fc.assert(
    fc.asyncProperty(fc.nat(text.length - 1), fc.nat(7), async (at, bit) => {
      const bent = Buffer.from(text)
      bent[at] = (bent[at] ?? 0) ^ (1 << bit)
      expect((await verifyAuditExport(oneBuffer(bent), own)).verified).toBe(false)
    }),
    { numRuns: 300 },
  )
})

async function* oneBuffer(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

/** What somebody can do to the lines of an export; the events that they make are whole in themselves. */
const mutation = fc.record({
  kind: fc.constantFrom('edit', 'delete', 'insert', 'swap', 'truncate', 'renumber', 'replace'),
  at: fc.nat(size - 1),
  other: fc.nat(size - 1),
})

test('whoever edits, deletes, inserts, swaps or cuts off lines is found', async () => {
  const seen = new Set<string>()
  await fc.assert(
    fc.asyncProperty(mutation, async ({ kind, at, other }) => {
      fc.pre(at !== other)
      seen.add(kind)
      const lines = mutated(kind, at, other)
      const { verified: isVerified, fault } = await verified(lines)
      expect(isVerified, kind).toBe(false)
      const first = Math.min(at, kind === 'swap' ? other : at)
      // The entry that is named is not behind the first that was changed.
      if (kind !== 'truncate') expect(fault?.index ?? -1).toBeLessThanOrEqual(first)
    }),
    { numRuns: 300 },
  )
  expect(seen.size).toBe(7)
})

function mutated(kind: string, at: number, other: number): string[] {
  const [line, otherLine] = [lineOf(at), lineOf(other)]
  const [text = '', otherText = ''] = [log.lines[line], log.lines[otherLine]]
  const forgedEvent = { ...testEntry(at).event, actor: 'mallory' }
  const { salt } = testEntry(at)
  const forged = eventLine({ index: at, salt, event: forgedEvent, leaf: leafOfEvent(forgedEvent, salt) })
  const numbered = (index: number, from: string): string =>
    from.replace(/^\{"index":\d+/, `{"index":${index}`)
  switch (kind) {
    case 'edit':
      return log.lines.with(line, forged)
    case 'delete':
      return log.lines.toSpliced(line, 1)
    case 'insert':
      return log.lines.toSpliced(line, 0, forged)
    case 'swap':
      return log.lines.with(line, otherText).with(otherLine, text)
    case 'renumber':
      // Deleted, and every later entry counted anew.
      return log.lines
        .toSpliced(line, 1)
        .map(one =>
          one.replace(/^\{"index":(\d+)/, (_, n) => `{"index":${Number(n) > at ? Number(n) - 1 : n}`),
        )
    case 'replace':
      return log.lines.with(line, numbered(at, otherText))
    default:
      return log.lines.slice(0, line)
  }
}
