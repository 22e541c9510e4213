import { SteleError } from '../../errors.ts'
import { rotateDataKey } from '../../moving/rotate-data-key.ts'
import { rotateMasterKey } from '../../moving/rotate-master-key.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say } from '../output.ts'
import { withProgress } from '../progress.ts'

export interface RotateDataOptions extends GlobalOptions {
  readonly user: string
}

/** Wraps every key anew with another master key. */
export async function rotateMaster(options: GlobalOptions): Promise<void> {
  const { rewrapped, file, retired } = await withStele(options, ({ database, masterKeys }) =>
    withProgress('keys', ({ update }) => rotateMasterKey(database, masterKeys, update, operatorHere())),
  )
  say(`Wrapped ${rewrapped} keys anew${file === undefined ? '' : `; the new master key is in ${file}`}.`)
  if (retired !== undefined)
    say(
      `What it takes the place of is in ${retired}: destroy it when no other database and no older backup needs it.`,
    )
}

/** Gives a user a new data key and seals everything anew with it. */
export async function rotateData(options: RotateDataOptions): Promise<void> {
  await withStele(options, async stele => {
    if ((await stele.users.get(options.user)) === undefined)
      throw new SteleError('user_not_found', { user: options.user })
    await withProgress('rows', ({ update }) => rotateDataKey(stele, options.user, { onProgress: update }))
  })
  say('Sealed everything anew; the old key is destroyed.')
}
