import { userInfo } from 'node:os'
import { reasonOf } from '../errors.ts'
import type { Stele } from '../stele.ts'
import type { Actor } from '../store/audit-events.ts'
import { say } from './output.ts'
import { printableText } from './printable.ts'

/** Whoever runs the command line: who has the database and the master key needs no leave, and is named on record. */
export function operatorHere(): Actor {
  try {
    return { systemUser: userInfo().username }
  } catch {
    // A number that the system has no name for.
    return { systemUser: String(process.getuid?.() ?? 'unknown') }
  }
}

/** What of whom is about to be shown, and by which command. */
export interface Reading {
  /** Left out when it is everybody. */
  readonly userId?: string | undefined
  readonly target?: string | undefined
  readonly command: string
}

/**
 * Puts on record that the operator reads what was said. Where that cannot be written, on a full disk say, what is there can be
 * rescued all the same.
 */
export async function noteReading(
  { auditEvents }: Pick<Stele, 'auditEvents'>,
  { userId = '', target, command }: Reading,
): Promise<void> {
  const event = { userId, by: operatorHere(), action: 'content.read', target } as const
  await auditEvents.add({ ...event, details: { command } }).catch((error: unknown) => {
    say(`stele: it could not be recorded that this was read: ${printableText(reasonOf(error))}`)
  })
}
