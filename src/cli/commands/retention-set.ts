import { type GlobalOptions, withStele } from '../open-store.ts'
import { say, writeJson } from '../output.ts'
import { printableLine } from '../printable.ts'
import { toRecord } from '../record.ts'
import { daysText } from '../values.ts'

export interface SetRetentionOptions extends GlobalOptions {
  readonly user: string
  readonly content?: number
  readonly metadata?: number
  readonly inactive?: number
  readonly json?: boolean
}

/** Sets a user's own periods. */
export async function setRetention(options: SetRetentionOptions): Promise<void> {
  const { user, content, metadata, inactive, json } = options
  const periods = { contentDays: content, metadataDays: metadata, inactiveDays: inactive }
  const policy = await withStele(options, ({ retention }) => retention.set(user, periods))
  if (json === true) return writeJson(toRecord(policy))
  say(
    `Of ${printableLine(user)} is kept: content ${daysText(content)}, metadata ${daysText(metadata)}, inactive conversations ${daysText(inactive)}.`,
  )
}
