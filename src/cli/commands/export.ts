import { open } from 'node:fs/promises'
import { SteleError } from '../../errors.ts'
import { type ExportOptions, exportLines } from '../../moving/export.ts'
import { makeFile, notWritable } from '../../moving/new-file.ts'
import type { Store } from '../../store/contents.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteActing } from '../operator.ts'
import { say, write } from '../output.ts'
import { withProgress } from '../progress.ts'

export interface ExportCommandOptions extends GlobalOptions {
  readonly user?: string
  readonly withKeys?: boolean
  readonly force?: boolean
}

/** Writes the record as JSON Lines: to stdout, or to a file that is whole once it has its name. */
export async function exportRecord(path: string, options: ExportCommandOptions): Promise<void> {
  const { user: userId, withKeys, force = false } = options
  const records = await withStele(options, async stele => {
    const { database, users } = stele
    if (userId !== undefined && (await users.get(userId)) === undefined)
      throw new SteleError('user_not_found', { user: userId })
    const details = { command: 'export', with_keys: withKeys === true }
    await noteActing(stele, { userId: userId ?? '', action: 'record.exported', details }, options)
    return withProgress('records', ({ update }) => {
      const choice: ExportOptions = { userId, withKeys, onProgress: update }
      if (path === '-') return exportLines(database, write, choice)
      return makeFile(path, { overwrite: force }, temporary => exportToFile(database, temporary, choice))
    })
  })
  say(`Exported ${records} records, readable by anyone who has them.`)
}

async function exportToFile(database: Store, path: string, choice: ExportOptions): Promise<number> {
  try {
    await using file = await open(path, 'wx', 0o600)
    const records = await exportLines(database, async line => void (await file.write(line)), choice)
    await file.sync()
    return records
  } catch (error) {
    throw (error as NodeJS.ErrnoException).syscall === undefined ? error : notWritable(path, error)
  }
}
