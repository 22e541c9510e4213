import { SteleError } from '../../errors.ts'
import { readObject } from '../../model/json-body.ts'
import { fromBase64 } from '../base64.ts'
import { digestLength } from '../digest.ts'
import { eventLine, readEntry, readHashes } from '../export-line.ts'
import { verifyConsistency, verifyInclusion } from '../merkle.ts'
import { parseVkeys } from '../note-keys.ts'
import type { AuditConsistency, AuditProof } from '../proofs.ts'
import { checkEntry } from './entry.ts'
import { openedBy } from './growth.ts'
import { type AuditFault, Fault } from './verdict.ts'

/** What a proof has come to. */
export interface ProofVerdict {
  readonly verified: boolean
  readonly fault: AuditFault | undefined
  /** What is proven, in words. */
  readonly proves: string | undefined
}

/**
 * Verifies a proof, of an event or of consistency, with nothing but public keys.
 * @param proof JSON text, as `prove` and `consistency` give it
 * @param keys the public keys of the log, as text (vkeys)
 * @throws SteleError vkey_invalid
 */
export function verifyAuditProof(proof: string | Uint8Array, keys: readonly string[]): ProofVerdict {
  const known = parseVkeys(keys)
  try {
    const value = read(proof)
    const proves =
      value['audit_proof'] === 1
        ? checkInclusion(value as unknown as AuditProof, known)
        : checkConsistency(value as unknown as AuditConsistency, known)
    return { verified: true, fault: undefined, proves }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return { verified: false, fault: error.fault, proves: undefined }
  }
}

function read(proof: string | Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const { value } = readObject(proof)
    if (value['audit_proof'] === 1 || value['audit_consistency'] === 1) return value
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
  }
  throw new Fault({ reason: 'this is no proof of the audit log' })
}

type Keys = Parameters<typeof openedBy>[1]

function checkInclusion({ entry: given, size, proof, checkpoint }: AuditProof, keys: Keys): string {
  const entry = readEntry(given)
  const hashes = readHashes(proof)
  if (entry === undefined || hashes === undefined || typeof checkpoint !== 'string')
    throw new Fault({ reason: 'this is no whole proof' })
  const { index, event } = entry
  try {
    // Members that an entry does not have would look proven.
    if (eventLine(entry) !== JSON.stringify(given))
      throw new Fault({ reason: 'the entry is spelled in another way, or holds more, than an export has it' })
    const leaf = checkEntry(entry)
    const signed = openedBy(checkpoint, keys)
    if (signed.size !== size) throw new Fault({ reason: 'its checkpoint is of another size than it says' })
    if (!verifyInclusion({ index, size, leaf, proof: hashes, root: signed.root }))
      throw new Fault({ reason: 'it does not lead to the root that was signed' })
    return `The event ${event.id} is entry ${index} of the log ${signed.origin}, as of its checkpoint of ${size} entries.`
  } catch (error) {
    throw error instanceof Fault ? new Fault({ index, eventId: event.id, ...error.fault }) : error
  }
}

function checkConsistency({ from, to, proof }: AuditConsistency, keys: Keys): string {
  const hashes = readHashes(proof)
  const [older, newer] = [headOf(from, keys), headOf(to, keys)]
  if (hashes === undefined || older === undefined || newer === undefined)
    throw new Fault({ reason: 'this is no whole proof' })
  if (newer.origin === undefined)
    throw new Fault({ reason: 'there is no checkpoint of the larger size, so nothing is proven' })
  const claim = { from: older.size, to: newer.size, fromRoot: older.root, toRoot: newer.root, proof: hashes }
  if (!verifyConsistency(claim))
    throw new Fault({ reason: `the log of ${newer.size} entries does not begin with that of ${older.size}` })
  return `The log ${newer.origin} of ${newer.size} entries begins with that of ${older.size}, whose root is ${older.root.toString('base64')}.`
}

/** What is said of a size, which its checkpoint must say too where there is one. */
function headOf(head: unknown, keys: Keys) {
  if (head === null || typeof head !== 'object') return undefined
  const { size, root, checkpoint } = head as Readonly<Record<string, unknown>>
  const bytes = typeof root === 'string' ? fromBase64(root) : undefined
  if (typeof size !== 'number' || bytes?.byteLength !== digestLength) return undefined
  if (typeof checkpoint !== 'string') return { size, root: bytes, origin: undefined }
  const signed = openedBy(checkpoint, keys)
  if (signed.size !== size || !signed.root.equals(bytes))
    throw new Fault({ reason: `the checkpoint of ${size} entries states something else` })
  return { size, root: bytes, origin: signed.origin }
}
