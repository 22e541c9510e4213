import { createInterface } from 'node:readline/promises'
import type { ErasureReport } from '../../erasure/service.ts'
import type { Remains } from '../../erasure/verify.ts'
import { SteleError } from '../../errors.ts'
import type { Stele } from '../../stele.ts'
import { actorText } from '../../store/audit-events.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { printableLine } from '../printable.ts'

export interface EraseOptions extends GlobalOptions {
  readonly yes?: boolean
  readonly reason?: string
  readonly keys?: readonly string[]
  readonly verify?: boolean
  readonly unfinished?: boolean
  readonly json?: boolean
}

/** Erases a user; prints the id. */
export async function eraseUser(userId: string, options: EraseOptions): Promise<void> {
  await withStele(options, async stele => {
    if ((await stele.users.get(userId)) === undefined)
      throw new SteleError('user_not_found', { user: userId })
    if (options.yes !== true) await confirm(userId)
    const report = await erase(stele, userId, options)
    if (options.json === true) await writeJson(report)
    else await writeLine(printableLine(userId))
    refuseRemains(userId, report.remains)
  })
}

/** Finishes erasures that broke off; prints whom they erased. */
export async function finishErasures(options: EraseOptions): Promise<void> {
  await withStele(options, async stele => {
    const reports: ErasureReport[] = []
    for (const userId of await stele.unfinishedErasures()) {
      reports.push(await erase(stele, userId, options))
      if (options.json !== true) await writeLine(printableLine(userId))
    }
    if (options.json === true) await writeJson(reports)
    else if (reports.length === 0) say('No erasure is unfinished.')
    for (const { userId, remains } of reports) refuseRemains(userId, remains)
  })
}

/** Looks whether anything is left of a user; exits with 1 when there is. */
export async function verifyErasure(userId: string, options: EraseOptions): Promise<void> {
  await withStele(options, async stele => {
    const remains = await stele.verifyErasure(userId)
    if (options.json === true) await writeJson({ user: userId, remains })
    refuseRemains(userId, remains)
    say(printableLine(`Nothing is left of what ${userId} said and was called.`))
  })
}

async function erase(stele: Stele, userId: string, { reason, keys }: EraseOptions): Promise<ErasureReport> {
  const report = await stele.erase(userId, {
    reason,
    actor: actorText(operatorHere()),
    keyFiles: keys,
  })
  const counts = Object.entries(report.counts).map(([table, rows]) => `${rows} ${table}`)
  say(printableLine(`Erased ${userId}: ${counts.length === 0 ? 'nothing was left' : counts.join(', ')}.`))
  for (const { path, keys: struck } of report.keyFiles)
    say(printableLine(`Struck from ${path}: ${struck} keys.`))
  if (report.spooled > 0) say(`Blanked ${report.spooled} records that wait in spools.`)
  if (!report.isScrubbed)
    say(
      'The file or its log still has bytes of what went: somebody reads the database, or it has very many keys. Erase once more later, or with no gateway running: stele retention run --vacuum',
    )
  if (report.unusedBytes > 0)
    say(
      `${report.unusedBytes} bytes of the file are unused; stele retention run --vacuum gives them back while no other process has it open.`,
    )
  return report
}

function refuseRemains(userId: string, remains: readonly Remains[]): void {
  if (remains.length === 0) return
  const places = remains.map(
    ({ table, column, rows }) => `${table}${column === undefined ? '' : `.${column}`} (${rows})`,
  )
  throw new Failure(printableLine(`Something is left of ${userId}: ${places.join(', ')}`))
}

/** Asks for the user's id once more. @throws SteleError usage where nobody can be asked */
async function confirm(userId: string): Promise<void> {
  if (!process.stdin.isTTY)
    throw new SteleError('usage', { reason: 'Erasing cannot be undone. To do it without being asked: --yes' })
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    say(
      printableLine(
        `Everything that ${userId} said goes for good. Backups keep it until their keys are struck (--keys).`,
      ),
    )
    const answer = await terminal.question("To go on, type the user's id: ")
    if (answer.trim() !== userId) throw new Failure('Nothing was erased.')
  } finally {
    terminal.close()
  }
}
