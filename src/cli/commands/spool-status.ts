import { openSpoolFile } from '../../db/spool-file.ts'
import { spoolsIn } from '../../recorder/spool-paths.ts'
import { configOf, type GlobalOptions } from '../open-store.ts'
import { say, write, writeJson } from '../output.ts'
import { type Column, formatTable } from '../table.ts'
import { countText, timeText } from '../values.ts'

export interface SpoolStatusOptions extends GlobalOptions {
  readonly json?: boolean
}

interface Spool {
  readonly file: string
  /** Of a process that runs: it drains by itself. */
  readonly inUse: boolean
  readonly waiting: number
  readonly bytes: number
  readonly oldestAt: number | undefined
  readonly rejected: readonly { readonly callId: string; readonly kind: string; readonly reason: string }[]
}

const columns: readonly Column<Spool>[] = [
  { title: 'FILE', text: ({ file }) => file },
  { title: 'IN USE', text: ({ inUse }) => (inUse ? 'yes' : 'no') },
  { title: 'WAITING', text: ({ waiting }) => countText(waiting), align: 'right' },
  { title: 'BYTES', text: ({ bytes }) => countText(bytes), align: 'right' },
  { title: 'SINCE', text: ({ oldestAt }) => timeText(oldestAt) },
  { title: 'REJECTED', text: ({ rejected }) => countText(rejected.length), align: 'right' },
]

/** Prints what waits in the spools of this machine. */
export async function spoolStatus(options: SpoolStatusOptions): Promise<void> {
  const { spoolFolder } = configOf(options)
  const spools = (await spoolsIn(spoolFolder)).map(look)
  if (options.json === true) return writeJson(spools.map(toRecord))
  if (spools.length === 0) return say(`Nothing waits in ${spoolFolder}.`)
  await write(formatTable(columns, spools))
  for (const { file, rejected } of spools)
    for (const { callId, kind, reason } of rejected)
      say(`${file}: ${kind} of ${callId} was refused: ${reason}`)
}

function look(path: string): Spool {
  const file = openSpoolFile(path)
  const inUse = !file.claim()
  try {
    const { depth, bytes, oldestAt } = file.status()
    return { file: path, inUse, waiting: depth, bytes, oldestAt, rejected: file.rejected() }
  } finally {
    file.release()
  }
}

function toRecord({ oldestAt, ...spool }: Spool): object {
  return { ...spool, oldestAt: oldestAt === undefined ? null : new Date(oldestAt).toISOString() }
}
