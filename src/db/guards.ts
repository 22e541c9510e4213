/**
 * Rows that stay as they are once they are written. The database itself refuses to change or remove them, whoever asks,
 * but in a transaction that has said why it may (`Database.permit`). Made by migration 0025; docs/immutability.md tells what
 * this keeps out and what it cannot.
 */

/** Why a transaction may change what is on record. */
export const changeReasons = [
  /** What has expired goes. */
  'retention',
  /** A user's content goes. */
  'erasure',
  /** A conversation's content goes, as its user asked. */
  'purge',
  /** Content is sealed anew with another key, and says what it said. */
  'rotation',
  /** Costs are put right. */
  'repricing',
  /** The reply of a comparison is taken into its conversation. */
  'choice',
  /** The real end of a call takes the place of the one that was written when it was given up for lost. */
  'recovery',
  /** Rows move to where they belong. */
  'storage',
  /** An unfinished copy is brought up to what it copies. */
  'copy',
] as const

export type ChangeReason = (typeof changeReasons)[number]

/** What may still become of the rows of a table. */
export interface Guard {
  readonly table: string
  /** Columns that no two rows have in common: by any of these keys a row that is inserted could take the place of another. */
  readonly keys: readonly (readonly string[])[]
  /** The reasons for which rows are updated. */
  readonly updated: readonly ChangeReason[]
  /** A condition over OLD and NEW under which an update needs no reason, in SQL that every database knows. */
  readonly unless?: string
  /** The reasons for which rows are removed. */
  readonly removed: readonly ChangeReason[]
}
