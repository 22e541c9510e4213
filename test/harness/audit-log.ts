import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { checkpointText } from '../../src/audit/checkpoint.ts'
import { sha256 } from '../../src/audit/digest.ts'
import { commitContent, type EventFacts } from '../../src/audit/event-form.ts'
import {
  checkpointLine,
  type ExportedEvent,
  eventLine,
  headerLine,
  keyLine,
} from '../../src/audit/export-line.ts'
import { Frontier } from '../../src/audit/merkle.ts'
import { signNote } from '../../src/audit/note.ts'
import { formatVkey } from '../../src/audit/note-keys.ts'
import { leafOfEvent } from '../../src/audit/verify/entry.ts'

export interface TestSigner {
  readonly name: string
  readonly privateKey: KeyObject
  readonly vkey: string
}

/** An Ed25519 key of 32 bytes as PKCS #8 has it. */
export function privateKeyOf(seed: Uint8Array): KeyObject {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

/** A key that is the same each time. */
export function testSigner(name: string, seed = name): TestSigner {
  const privateKey = privateKeyOf(sha256(seed))
  return { name, privateKey, vkey: formatVkey(name, createPublicKey(privateKey)) }
}

/** Events of a log that is the same each time; every fourth has content beside it, of which every eighth is gone. */
export function testEntry(index: number): ExportedEvent {
  const content =
    index % 4 === 3
      ? {
          salt: sha256(`content ${index}`),
          details: JSON.stringify({ words: `What ${index} said: ü, 世, "q"` }),
        }
      : undefined
  const event: EventFacts = {
    action: index % 2 === 0 ? 'call.begun' : 'call.settled',
    actor: 'ada',
    category: 'system',
    commitment: content === undefined ? null : commitContent(content.salt, content.details),
    created_at: 1_763_800_000_000 + index,
    details: index % 3 === 0 ? null : JSON.stringify({ model: 'echo', number: index }),
    id: `evt_01k9sp8sx8e9pvy0n0x9${String(index).padStart(6, '0')}`,
    outcome: 'success',
    severity: 'info',
    target: index % 5 === 0 ? null : `call_${index}`,
    user_id: `user-${index % 3}`,
  }
  const salt = sha256(`salt ${index}`).subarray(0, 16)
  const leaf = leafOfEvent(event, salt)
  return { index, salt, event, content: index % 8 === 7 ? undefined : content, leaf }
}

export interface TestLog {
  readonly signer: TestSigner
  /** A complete export: a header, a key, events, checkpoints. */
  readonly lines: string[]
  readonly entries: ExportedEvent[]
  /** The signed note of each checkpoint by its size. */
  readonly notes: ReadonlyMap<number, string>
}

/** A log as an export has it. @param every entries between two checkpoints */
export function testLog(size: number, every: number, signer = testSigner('stele/test')): TestLog {
  const entries = Array.from({ length: size }, (_, index) => testEntry(index))
  const notes = new Map<number, string>()
  const header = {
    audit_export: 1,
    origin: signer.name,
    created_at: 1_763_900_000_000,
    size,
    complete: true,
    about: 'Every event of the log up to this size.',
  } as const
  const lines = [headerLine(header), keyLine(signer.vkey)]
  const frontier = new Frontier()
  for (const entry of entries) {
    lines.push(eventLine(entry))
    frontier.append(leafOfEvent(entry.event, entry.salt))
    if (frontier.size % every !== 0 && frontier.size !== size) continue
    const note = signedCheckpoint(signer, frontier.size, frontier.root())
    notes.set(frontier.size, note)
    lines.push(checkpointLine(note))
  }
  return { signer, lines, entries, notes }
}

export function signedCheckpoint(signer: TestSigner, size: number, root: Buffer): string {
  return signNote(checkpointText({ origin: signer.name, size, root }), [signer])
}

/** The bytes of lines, as a file has them. */
export async function* bytesOf(lines: Iterable<string>): AsyncGenerator<Buffer> {
  for (const line of lines) yield Buffer.from(`${line}\n`)
}
