import { type RecordLine, recordLine } from '../export-format.ts'

/** Why a record cannot be kept; undefined when it can. */
export function problemOf(record: RecordLine): string | undefined {
  const checked = recordLine.safeParse(record)
  if (checked.success) return undefined
  const issue = checked.error.issues[0]
  return `${(issue?.path ?? []).map(String).join('.')}: ${issue?.message ?? 'not as expected'}`
}
