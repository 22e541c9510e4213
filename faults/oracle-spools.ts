import { basename } from 'node:path'
import { openSpoolFile } from '../src/db/spool-file.ts'
import { spoolsIn } from '../src/recorder/spool-paths.ts'
import type { Violation } from './verdict.ts'

/** Once the database is back and every gateway has stopped, nothing waits in a spool and nothing was refused. */
export async function checkSpools(folder: string): Promise<Violation[]> {
  return (await spoolsIn(folder)).flatMap(checkSpool)
}

function checkSpool(path: string): Violation[] {
  const about = basename(path)
  const left = (detail: string): Violation => ({ check: 'spooled', about, detail })
  const file = openSpoolFile(path)
  if (!file.claim()) return [left('a process still has it')]
  try {
    const { depth } = file.status()
    return [
      ...(depth > 0 ? [left(`${depth} records wait in it`)] : []),
      ...file
        .rejected()
        .map(({ callId, kind, reason }) => left(`${kind} of ${callId} was refused: ${reason}`)),
    ]
  } finally {
    file.release()
  }
}
