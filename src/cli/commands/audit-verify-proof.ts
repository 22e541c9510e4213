import { verifyAuditProof } from '../../audit/verify/proof.ts'
import { faultText } from '../../audit/verify/verdict.ts'
import { readWhole } from '../audit-files.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { writeLine } from '../output.ts'

export interface VerifyProofOptions extends GlobalOptions {
  readonly key?: readonly string[]
}

/** Verifies a proof in a file. */
export async function verifyProof(file: string, options: VerifyProofOptions): Promise<void> {
  const text = await readWhole(file, 'proof')
  const { fault, proves = '' } = verifyAuditProof(text, options.key ?? (await databaseKeys(options)))
  if (fault !== undefined) throw new Failure(`Not verified: ${faultText(fault)}`)
  await writeLine(`Verified: ${proves}`)
}

/** The public keys of the log of the database. */
function databaseKeys(options: GlobalOptions): Promise<string[]> {
  return withStele(options, async ({ auditLog }) => (await auditLog.keys()).map(({ vkey }) => vkey))
}
