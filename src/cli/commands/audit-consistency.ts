import type { SignedCheckpoint } from '../../audit/checkpoint.ts'
import { parseVkeys } from '../../audit/note-keys.ts'
import { openedBy } from '../../audit/verify/growth.ts'
import { Fault } from '../../audit/verify/verdict.ts'
import { SteleError } from '../../errors.ts'
import { readWhole, takeQueued } from '../audit-files.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { say } from '../output.ts'
import { writeProof } from './audit-prove.ts'

export interface ConsistencyCommandOptions extends GlobalOptions {
  readonly key?: readonly string[]
  readonly output?: string
}

/** A number of entries, and what is known of the root of so many. */
interface Head {
  readonly size: number
  readonly signed: SignedCheckpoint | undefined
}

/** Proves that the log has only grown between two sizes, which may be those of checkpoints that were kept. */
export async function proveConsistency(
  older: string,
  newer: string,
  options: ConsistencyCommandOptions,
): Promise<void> {
  const proof = await withStele(options, async stele => {
    await takeQueued(stele)
    const keys = options.key ?? (await stele.auditLog.keys()).map(({ vkey }) => vkey)
    const [from, to] = [await headOf(older, keys), await headOf(newer, keys)]
    const size = (await stele.auditLog.latest())?.size ?? 0
    for (const { size: wanted } of [from, to])
      if (wanted > size) throw new Failure(`Not consistent: the log has ${size} entries, not ${wanted}.`)
    const made = await stele.audit.consistency({ from: from.size, to: to.size })
    for (const [head, { signed }] of [[made.from, from] as const, [made.to, to] as const])
      if (signed !== undefined && signed.root.toString('base64') !== head.root)
        throw new Failure(
          `Not consistent: the first ${head.size} entries of the log are not those that the checkpoint was signed for.`,
        )
    return made
  })
  await writeProof(proof, options.output)
  say(
    `Consistent: the log of ${proof.to.size} entries begins with that of ${proof.from.size}; ${proof.proof.length} hashes prove it.`,
  )
}

/** @param text a number of entries, or a file with a checkpoint */
async function headOf(text: string, keys: readonly string[]): Promise<Head> {
  if (/^\d{1,15}$/.test(text)) return { size: Number(text), signed: undefined }
  const note = (await readWhole(text, 'checkpoint')).toString()
  try {
    const signed = openedBy(note, parseVkeys(keys))
    return { size: signed.size, signed }
  } catch (error) {
    if (error instanceof Fault)
      throw new SteleError('checkpoint_invalid', { reason: `${text}: ${error.message}` })
    throw error
  }
}
