import { takeQueued, writeFileWhole } from '../audit-files.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { say, write } from '../output.ts'

export interface ProveCommandOptions extends GlobalOptions {
  readonly user?: string
  readonly output?: string
}

/** Prints the proof of an event as JSON, and tells what it is in words. */
export async function proveEvent(event: string, options: ProveCommandOptions): Promise<void> {
  const { user, output } = options
  const proof = await withStele(options, async stele => {
    await takeQueued(stele)
    return stele.audit.prove(event, user)
  })
  await writeProof(proof, output)
  say(
    `The event ${event} is entry ${String(proof.entry['index'])} of the log: ${proof.proof.length} hashes lead from it to the root of the checkpoint of ${proof.size} entries. Whoever has the public key can verify that: stele audit verify-proof FILE --key VKEY`,
  )
}

/** Prints a proof, or writes it to a new file. */
export async function writeProof(proof: object, output: string | undefined): Promise<void> {
  const text = `${JSON.stringify(proof, null, 2)}\n`
  if (output === undefined) await write(text)
  else await writeFileWhole(output, { overwrite: false }, writeText => writeText(text))
}
