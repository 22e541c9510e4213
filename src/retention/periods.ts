import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { givenObject } from '../model/json-object.ts'

/** Days for which what belongs to a user is kept. */
export interface RetentionPeriods {
  /** What was said. */
  readonly contentDays?: number | undefined
  /** Everything that is known of a call, with what was said. */
  readonly metadataDays?: number | undefined
  /** A conversation that nobody uses, before it is deleted. */
  readonly inactiveDays?: number | undefined
}

/** For everybody of whom nothing else is set; what is left out is kept for ever. */
export interface RetentionDefaults extends RetentionPeriods {
  /** What was said in a deleted conversation, from its deletion on. */
  readonly deletedDays?: number | undefined
}

/** The periods that a user may have, and that everybody may have. */
export const userNames = ['contentDays', 'metadataDays', 'inactiveDays'] as const
const defaultNames = [...userNames, 'deletedDays'] as const

/** Stands for a period without an end where a user has another than everybody. */
export const forEver = 0

/** The longest period, in days: a hundred years. */
export const longestPeriod = 36_500

/** What was made before these times, in milliseconds since 1970, has expired; 0 lets nothing expire. */
export interface Cutoffs {
  readonly content: number
  readonly metadata: number
  readonly inactive: number
  readonly deleted: number
}

/** What a user's own periods are read from. */
export type PolicyRow = Omit<Row<'retention_policies'>, 'updated_at'>

const day = 86_400_000

/** What has expired at `now` for a user with this policy, or with none. */
export function cutoffsAt(now: number, defaults: RetentionDefaults, policy?: PolicyRow): Cutoffs {
  const { contentDays, metadataDays, inactiveDays } = periodsOf(defaults, policy)
  const metadata = cutoffAt(now, metadataDays)
  return {
    // Content goes with the rows that hold it.
    content: Math.max(cutoffAt(now, contentDays), metadata),
    metadata,
    inactive: cutoffAt(now, inactiveDays),
    deleted: cutoffAt(now, defaults.deletedDays),
  }
}

/** The latest of them: what is younger has not expired in any respect. */
export function latestOf({ content, metadata, inactive, deleted }: Cutoffs): number {
  return Math.max(content, metadata, inactive, deleted)
}

/** The periods of everybody in the words of an event: a run lets go by these, and by those that `retention.set` told of users. */
export function periodsTold({ contentDays, metadataDays, inactiveDays, deletedDays }: RetentionDefaults) {
  return {
    content_days: contentDays || null,
    metadata_days: metadataDays || null,
    inactive_days: inactiveDays || null,
    deleted_days: deletedDays || null,
  }
}

/** A name for all users who have the same periods: `default`, or the periods. */
export function groupOf(defaults: RetentionDefaults, policy?: PolicyRow): string {
  if (policy === undefined) return 'default'
  const { contentDays, metadataDays, inactiveDays } = periodsOf(defaults, policy)
  const inWords = (days: number | undefined): string => (days ? `${days} d` : 'for ever')
  return `content ${inWords(contentDays)}, metadata ${inWords(metadataDays)}, inactive ${inWords(inactiveDays)}`
}

/**
 * @throws SteleError invalid_value for a period that there is not or that is no number of days, retention_invalid when
 * content would outlive the metadata that it belongs to
 */
export function checkPeriods(
  periods: RetentionDefaults,
  known: readonly (keyof RetentionDefaults)[] = defaultNames,
): void {
  givenObject('retention', periods)
  for (const [name, days] of Object.entries(periods) as [keyof RetentionDefaults, number | undefined][]) {
    // A period that is misspelt would keep for ever what somebody wanted gone.
    if (!known.includes(name))
      throw new SteleError('invalid_value', { name, reason: `there are ${known.join(', ')}` })
    if (days !== undefined && !(Number.isInteger(days) && days >= forEver && days <= longestPeriod))
      throw new SteleError('invalid_value', {
        name,
        reason: `whole days from 1 to ${longestPeriod}, or ${forEver} for ever`,
      })
  }
  const { contentDays, metadataDays } = periods
  if (contentDays === undefined || !metadataDays) return
  if (contentDays === forEver || contentDays > metadataDays) {
    const content = contentDays === forEver ? 'for ever' : `for ${contentDays} days`
    throw new SteleError('retention_invalid', {
      reason: `content would be kept ${content} and its metadata for ${metadataDays} days`,
    })
  }
}

function periodsOf(defaults: RetentionDefaults, policy: PolicyRow | undefined): RetentionPeriods {
  return {
    contentDays: policy?.content_days ?? defaults.contentDays,
    metadataDays: policy?.metadata_days ?? defaults.metadataDays,
    inactiveDays: policy?.inactive_days ?? defaults.inactiveDays,
  }
}

function cutoffAt(now: number, days: number | undefined): number {
  return days ? Math.max(0, now - days * day) : 0
}
