import { restoreBackup } from '../../moving/restore.ts'
import { examineMasterKey } from '../master-key-check.ts'
import { configOf, type GlobalOptions, withDatabase } from '../open-store.ts'
import { noteStoredActing } from '../operator.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { printableLine } from '../printable.ts'
import { withProgress } from '../progress.ts'
import { toRecord } from '../record.ts'
import { sayToErase } from './keys-backup.ts'

export interface RestoreCommandOptions extends GlobalOptions {
  readonly to?: string
  readonly keys?: string
  readonly force?: boolean
  readonly json?: boolean
}

/** Restores a database file from a backup; prints where it is. */
export async function restore(path: string, options: RestoreCommandOptions): Promise<void> {
  const target: GlobalOptions = { ...options, ...(options.to === undefined ? {} : { database: options.to }) }
  await withDatabase(target, async database => {
    const contents = await withProgress('bytes', progress =>
      restoreBackup(path, database, {
        overwrite: options.force,
        keyFile: options.keys,
        onProgress: progress.update,
      }),
    )
    const { calls, conversations, isCurrent, messages } = contents
    await noteStoredActing(database, 'record.restored', options)
    say(`Restored ${calls} calls and ${messages} messages of ${conversations} conversations.`)
    sayToErase(contents.toErase)
    if (!isCurrent) say('Its schema is an older one: stele serve and stele migrate up bring it up.')
    else {
      const key = await examineMasterKey(configOf(target), database)
      say(printableLine(`The master key: ${key.value}.`))
    }
    return options.json === true ? writeJson(toRecord(contents)) : writeLine(database.location.display)
  })
}
