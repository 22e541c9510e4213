import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeLine } from '../output.ts'

/** Makes a new key, and has the log sign with both at once. Prints the new vkey. */
export async function rotateKey(options: GlobalOptions): Promise<void> {
  const vkey = await withStele(options, async ({ auditLog }) => {
    const rotated = await auditLog.rotateKey(operatorHere())
    await auditLog.sequence()
    return rotated.vkey
  })
  say(
    'The log is signed with this key from now on. Whoever verifies it needs the earlier ones too: stele audit key',
  )
  await writeLine(vkey)
}
