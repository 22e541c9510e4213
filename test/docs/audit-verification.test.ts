import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { canonicalEvent, commitContent, commitEvent, logEntry } from '../../src/audit/event-form.ts'
import {
  consistencyProof,
  type HashReader,
  inclusionProof,
  leafHash,
  nodeHash,
  rootAt,
} from '../../src/audit/merkle.ts'
import { parseVkey } from '../../src/audit/note-keys.ts'
import { leafOfEvent } from '../../src/audit/verify/entry.ts'
import { verifyAuditExport } from '../../src/audit/verify/export.ts'
import { isConsistent, isIncluded, opened } from '../audit/proofs-from-page.ts'
import { verifyExport } from '../audit/verifier-from-page.ts'
import { bytesOf, privateKeyOf, signedCheckpoint, testEntry, testLog } from '../harness/audit-log.ts'

interface Proof {
  readonly index: number
  readonly from: number
  readonly to: number
  readonly size: number
  readonly proof: readonly string[]
}

/** The vectors of the page. */
interface Vectors {
  readonly key: Record<'seed' | 'vkey' | 'id', string>
  readonly event: Record<'salt' | 'canonical' | 'commitment' | 'entry' | 'leaf', string> & {
    readonly index: number
  }
  readonly content: Record<'salt' | 'details' | 'commitment', string>
  readonly leaves: readonly string[]
  readonly roots: Readonly<Record<string, string>>
  readonly inclusion: Proof
  readonly inclusion_of_last: Proof
  readonly consistency: Proof
  readonly consistency_of_odd: Proof
  readonly checkpoint: string
}

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
const page = read('audit-verification.md')
const vectors = JSON.parse(/```json\n(.*)```/s.exec(page)?.[1] ?? '') as Vectors
const sample = read('audit-sample.jsonl').trimEnd().split('\n')
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const unhex = (text = ''): Buffer => Buffer.from(text, 'hex')

const leaves = vectors.leaves.map(unhex)
const reader: HashReader = {
  async hash(level, index) {
    if (level === 0) return leaves[index] ?? Buffer.alloc(0)
    return nodeHash(await reader.hash(level - 1, index * 2), await reader.hash(level - 1, index * 2 + 1))
  },
}

test('the vectors of the page are what the program computes', async () => {
  const { key, event, content } = vectors
  const entry = testEntry(event.index)
  expect(testLog(10, 4).lines).toEqual(sample)
  expect(parseVkey(key.vkey).id).toBe(key.id)
  const name = parseVkey(key.vkey).name
  const signer = { name, vkey: key.vkey, privateKey: privateKeyOf(unhex(key.seed)) }
  expect(signedCheckpoint(signer, 4, unhex(vectors.roots['4']))).toBe(vectors.checkpoint)
  expect(canonicalEvent(entry.event)).toBe(event.canonical)
  const commitment = commitEvent(unhex(event.salt), event.canonical)
  expect(hex(commitment)).toBe(event.commitment)
  expect(hex(logEntry(entry.event.id, commitment))).toBe(event.entry)
  expect(hex(leafHash(unhex(event.entry)))).toBe(event.leaf)
  expect(hex(commitContent(unhex(content.salt), content.details))).toBe(content.commitment)
  expect(event.canonical).toContain(content.commitment)
  expect(vectors.leaves).toEqual(
    Array.from({ length: 10 }, (_, at) => hex(leafOfEvent(testEntry(at).event, testEntry(at).salt))),
  )
  for (const [size, root] of Object.entries(vectors.roots))
    expect(hex(await rootAt(reader, Number(size)))).toBe(root)
  for (const { index, size, proof } of [vectors.inclusion, vectors.inclusion_of_last])
    expect((await inclusionProof(reader, index, size)).map(hex)).toEqual(proof)
  for (const { from, to, proof } of [vectors.consistency, vectors.consistency_of_odd])
    expect((await consistencyProof(reader, from, to)).map(hex)).toEqual(proof)
})

/** Whether the verifier that was written from the page takes an export for whole. */
function isVerified(lines: readonly string[], vkey: string, kept: readonly string[] = []): boolean {
  try {
    verifyExport(Buffer.from(`${lines.join('\n')}\n`), [vkey], kept)
    return true
  } catch {
    return false
  }
}

test('a verifier that was written from the page alone says the same', async () => {
  const { vkey } = vectors.key
  for (const { index, size, proof } of [vectors.inclusion, vectors.inclusion_of_last]) {
    const [leaf = unhex(), root] = [leaves[index], unhex(vectors.roots[size])]
    expect(isIncluded(leaf, index, size, proof.map(unhex), root)).toBe(true)
    expect(isIncluded(leaf, index - 1, size, proof.map(unhex), root)).toBe(false)
  }
  for (const { from, to, proof } of [vectors.consistency, vectors.consistency_of_odd]) {
    const [older, newer] = [await rootAt(reader, from), unhex(vectors.roots[to])]
    expect(isConsistent(from, older, to, newer, proof.map(unhex))).toBe(true)
    expect(isConsistent(from, newer, to, newer, proof.map(unhex))).toBe(false)
  }
  expect(opened(vectors.checkpoint, vkey)).toEqual({ size: 4, root: unhex(vectors.roots['4']) })
  expect(isVerified(sample, vkey, [vectors.checkpoint])).toBe(true)
  const large = testLog(700, 90).lines
  expect(isVerified(large, vkey)).toBe(true)
  // Both refuse the same.
  for (let line = 0; line < sample.length; line++) {
    const cut = sample.toSpliced(line, 1)
    const { verified } = await verifyAuditExport(bytesOf(cut), { keys: [vkey] })
    expect(isVerified(cut, vkey), `without line ${line}`).toBe(verified)
    expect(verified).toBe(
      line < 2 || ((sample[line] ?? '').startsWith('{"checkpoint"') && line + 1 < sample.length),
    )
  }
})

test('the page shows every line of an export as it is written', () => {
  for (const start of ['{"audit_export":1,"origin":', '{"key":"', '{"index":', '{"checkpoint":"']) {
    expect(page).toContain(start)
    expect(sample.some(line => line.startsWith(start))).toBe(true)
  }
})
