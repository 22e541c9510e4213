import type { Tables } from '../../db/tables.ts'
import { digestOfVkey, type LogMark } from '../../store/guard.ts'
import { parseVkey } from '../note-keys.ts'

type KeyRow = Pick<Tables['audit_keys'], 'id' | 'vkey' | 'created_at'>

/** The key of a log that was made first. */
export function firstKeyOf(rows: readonly KeyRow[]): KeyRow | undefined {
  return rows.toSorted((a, b) => a.created_at - b.created_at || (a.id < b.id ? -1 : 1))[0]
}

/**
 * What is wrong with the keys of a log: they are those of another one than the first secret of the database tells of. Undefined when they
 * are not. The keys of another database may be as genuine, and wrapped by the same master key.
 */
export function strangeKeys(rows: readonly KeyRow[], { firstKey }: LogMark): string | undefined {
  const first = firstKeyOf(rows)
  if (first === undefined) return 'its first key is gone'
  if (!Buffer.from(firstKey).equals(digestOfVkey(first.vkey)))
    return `its first key is not the one that it was begun with, but ${first.id}`
  const { name } = parseVkey(first.vkey)
  const stranger = rows.find(({ vkey }) => !vkey.startsWith(`${name}+`))
  return stranger && `the key ${stranger.id} is not one of the log ${name}`
}
