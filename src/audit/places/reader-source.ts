import { idTime } from '../../ids.ts'
import type { Reading } from '../../store/contents.ts'
import { openCheckpoint } from '../checkpoint.ts'
import { logEntry } from '../event-form.ts'
import { eventLine } from '../export-line.ts'
import { isBacklog } from '../log/backlog.ts'
import { auditLogReader, type LoggedEvent } from '../log/reader.ts'
import { leafHash, rootAt } from '../merkle.ts'
import { parseVkeys } from '../note-keys.ts'
import type { LogSource, Standing } from './log-source.ts'

/** Checkpoints read at once. */
const checkpointsAtATime = 1_000

/** Rows of the queue that tell of no new event, at most. */
const backlogRows = 2

/** The log of a database. @param linesAtATime so many at most in one answer, which takes one turn of the event loop */
export function readerSource(reading: Reading, linesAtATime: number): LogSource {
  const reader = auditLogReader(reading)
  const keys = async (): Promise<string[]> => (await reader.keys()).map(({ vkey }) => vkey)
  return {
    async head() {
      const waiting = await reading.kysely
        .selectFrom('audit_queue')
        .select('id')
        .orderBy('id')
        .limit(backlogRows + 1)
        .execute()
      const oldest = waiting.find(({ id }) => !isBacklog(id))
      return {
        size: (await reader.latest())?.size ?? 0,
        waitingSince: oldest === undefined ? undefined : idTime(oldest.id),
      }
    },
    async lines(from, to) {
      return (await reader.events({ from, to: Math.min(to, from + linesAtATime) })).map(lineOf)
    },
    async checkpoints(after, to) {
      const found: { size: number; note: string }[] = []
      for (let last = after; last < to; ) {
        const page = await reader.checkpoints({ after: last, limit: checkpointsAtATime })
        found.push(...page.filter(({ size }) => size <= to))
        if (page.length < checkpointsAtATime) break
        last = page.at(-1)?.size ?? to
      }
      return found
    },
    keys,
    async timeOf(index) {
      const [leaf] = await reader.events({ from: index, to: index + 1 })
      return leaf?.event?.created_at
    },
    async standingOf(note): Promise<Standing> {
      const checkpoint = signedBy(await keys(), note)
      if (checkpoint === undefined) return 'foreign'
      const size = (await reader.latest())?.size ?? 0
      if (checkpoint.size > size) return 'older'
      const root = await rootAt(reader.hashes(), checkpoint.size)
      return root.equals(checkpoint.root) ? 'consistent' : 'different'
    },
  }
}

/** An event as a line of an export, without what can be erased: a file keeps that for ever. */
function lineOf({ index, salt, event, eventId, commitment }: LoggedEvent): string {
  // What the database has lost cannot be told any more. The line is none that verifies, as it should be.
  if (event === undefined) return JSON.stringify({ index, event: null })
  return eventLine({ index, salt, event, leaf: leafHash(logEntry(eventId, commitment)) })
}

function signedBy(vkeys: readonly string[], note: string) {
  try {
    return openCheckpoint(note, parseVkeys(vkeys))
  } catch {
    return undefined
  }
}
