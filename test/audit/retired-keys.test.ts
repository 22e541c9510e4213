import { expect, test } from 'vitest'
import { checkpointText } from '../../src/audit/checkpoint.ts'
import { checkpointLine, eventLine, headerLine } from '../../src/audit/export-line.ts'
import { Frontier, inclusionProof, nodeHash } from '../../src/audit/merkle.ts'
import { signNote } from '../../src/audit/note.ts'
import { parseVkey } from '../../src/audit/note-keys.ts'
import { leafOfEvent } from '../../src/audit/verify/entry.ts'
import { verifyAuditExport } from '../../src/audit/verify/export.ts'
import { faultText } from '../../src/audit/verify/verdict.ts'
import { bytesOf, type TestSigner, testEntry, testSigner } from '../harness/audit-log.ts'
import { verifyExport } from './verifier-from-page.ts'

const size = 12
const old = testSigner('stele/test')
const current = testSigner('stele/test', 'another')
const keys = [old.vkey, current.vkey]

/** The notes of a log by their sizes, each with its signers and the keys that it names. */
type Signed = Readonly<Record<number, { readonly by: readonly TestSigner[]; readonly names?: TestSigner }>>

/** The lines of an export with these checkpoints, and their notes. */
function exportOf(signed: Signed): { readonly lines: string[]; readonly notes: Map<number, string> } {
  const header = {
    audit_export: 1,
    origin: old.name,
    created_at: 1,
    size,
    complete: true,
    about: '',
  } as const
  const lines = [headerLine(header)]
  const notes = new Map<number, string>()
  const frontier = new Frontier()
  let after = 0
  for (let index = 0; index < size; index++) {
    const entry = testEntry(index)
    lines.push(eventLine(entry))
    frontier.append(leafOfEvent(entry.event, entry.salt))
    const { by, names } = signed[frontier.size] ?? {}
    if (by === undefined) continue
    const newKeys = names === undefined ? [] : [{ id: parseVkey(names.vkey).id, at: frontier.size }]
    const said = { at: frontier.size, after, newKeys }
    const note = signNote(
      checkpointText({ origin: old.name, size: frontier.size, root: frontier.root(), said }),
      by,
    )
    notes.set(frontier.size, note)
    lines.push(checkpointLine(note))
    after = frontier.size
  }
  return { lines, notes }
}

/** What both verifiers say: '' when it is verified. */
async function refusalOf(
  lines: readonly string[],
  options: { readonly keys: readonly string[]; readonly checkpoints?: readonly string[] },
): Promise<string> {
  const { fault } = await verifyAuditExport(bytesOf(lines), options)
  const bytes = Buffer.from(`${lines.join('\n')}\n`)
  const independent = () => verifyExport(bytes, options.keys, options.checkpoints)
  if (fault === undefined) expect(independent().events).toBeGreaterThan(0)
  else expect(independent).toThrow()
  return fault === undefined ? '' : faultText(fault)
}

const rotated: Signed = {
  3: { by: [old], names: old },
  6: { by: [old, current], names: current },
  9: { by: [current] },
  12: { by: [current] },
}

test('a log whose key was rotated is verified with both keys', async () => {
  const { lines, notes } = exportOf(rotated)
  expect(await refusalOf(lines, { keys })).toBe('')
  expect(await refusalOf(lines, { keys, checkpoints: [...notes.values()] })).toBe('')
  // Where the log shows which key came later, nobody need give them in their order.
  expect(await refusalOf(lines, { keys: keys.toReversed() })).toBe('')
  // An export has few checkpoints: the first may be the one that both have signed, or come after it.
  const { 3: _first, ...both } = rotated
  expect(await refusalOf(exportOf(both).lines, { keys })).toBe('')
  expect(await refusalOf(exportOf(both).lines, { keys: keys.toReversed() })).toBe('')
  expect(await refusalOf(exportOf({ 12: { by: [current] } }).lines, { keys })).toBe('')
  const twice = [...keys, ...keys.toReversed(), ...keys.slice(1)]
  expect(await refusalOf(exportOf({ 12: { by: [current] } }).lines, { keys: twice })).toBe('')
})

test('a log that only a retired key has signed is refused to whoever knows of the next one', async () => {
  const { lines } = exportOf({ 6: { by: [old], names: old }, 12: { by: [old] } })
  expect(await refusalOf(lines, { keys })).toMatch(
    /^the newest checkpoint, of 12, is not signed with the last of the keys, stele\/test\+/,
  )
  expect(await refusalOf(lines, { keys: [old.vkey] })).toBe('')
})

test('nothing that a retired key alone has signed comes after its retirement', async () => {
  const late = exportOf({ ...rotated, 9: { by: [old] } })
  expect(await refusalOf(late.lines, { keys })).toContain(
    'the checkpoint of 9 is signed with a key that was retired',
  )
  const last = exportOf({ ...rotated, 12: { by: [old] } })
  expect(await refusalOf(last.lines, { keys })).toContain(
    'the checkpoint of 12 is signed with a key that was',
  )
  // A kept checkpoint shows the retirement too, where the export leaves it out.
  const { notes } = exportOf(rotated)
  const without = exportOf({ 3: { by: [old], names: old }, 12: { by: [old] } })
  const kept = { keys: keys.toReversed(), checkpoints: [notes.get(6) ?? ''] }
  expect(await refusalOf(without.lines, kept)).toContain('the checkpoint of 12 is signed with a key that was')
})

test('the checkpoint of a selection is signed with the last of the keys', async () => {
  const leaves = [0, 1].map(at => leafOfEvent(testEntry(at).event, testEntry(at).salt))
  const [left = Buffer.of(), right = Buffer.of()] = leaves
  const root = nodeHash(left, right)
  const reader = {
    hash: async (level: number, index: number) => (level === 0 ? (leaves[index] ?? left) : root),
  }
  const selection = async (signer: TestSigner): Promise<string[]> => {
    const checkpoint = signNote(checkpointText({ origin: old.name, size: 2, root }), [signer])
    const header = {
      audit_export: 1,
      origin: old.name,
      created_at: 1,
      size: 2,
      complete: false,
      about: '',
    } as const
    const proof = await inclusionProof(reader, 1, 2)
    return [headerLine({ ...header, filter: {}, checkpoint }), eventLine({ ...testEntry(1), proof })]
  }
  expect(await refusalOf(await selection(current), { keys })).toBe('')
  expect(await refusalOf(await selection(old), { keys })).toContain('is not signed with the last of the keys')
})
