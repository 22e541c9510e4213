import { parseDatabaseUrl } from '../../db/database-url.ts'
import { backUp } from '../../moving/backup.ts'
import { masterKeyPath } from '../../privacy/master-key.ts'
import { configOf, type GlobalOptions, requireExisting, withDatabase } from '../open-store.ts'
import { noteStoredActing } from '../operator.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { printableLine } from '../printable.ts'
import { withProgress } from '../progress.ts'
import { toRecord } from '../record.ts'

export interface BackupCommandOptions extends GlobalOptions {
  readonly force?: boolean
  readonly json?: boolean
}

/** Backs a database file up; prints the path of the backup. */
export async function makeBackup(path: string, options: BackupCommandOptions): Promise<void> {
  await withDatabase(options, async database => {
    requireExisting(database)
    await noteStoredActing(database, 'record.backed_up', options)
    const contents = await withProgress('pages', progress =>
      backUp(database, path, { overwrite: options.force, onProgress: progress.update }),
    )
    const { bytes, calls, conversations, messages } = contents
    say(
      `Backed up ${calls} calls and ${messages} messages of ${conversations} conversations, ${bytes} bytes.`,
    )
    say(
      printableLine(
        `It is of no use without the master key, which is not in it: keep ${keyPlace(options)} too.`,
      ),
    )
    if (contents.keyFile !== undefined)
      say(
        printableLine(
          `The keys of users’ content are in ${contents.keyFile}; keep it apart from the backup. To strike a user from it: stele erase USER --keys`,
        ),
      )
    return options.json === true ? writeJson(toRecord(contents)) : writeLine(path)
  })
}

function keyPlace(options: GlobalOptions): string {
  const { masterKey, databaseUrl } = configOf(options)
  const { keyFolder } = parseDatabaseUrl(databaseUrl)
  return masterKey === undefined && keyFolder !== undefined ? masterKeyPath(keyFolder) : 'STELE_MASTER_KEY'
}
