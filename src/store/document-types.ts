import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { keyText } from '../model/json-object.ts'
import { type Actor, actorText, addEvents, eventRow } from './audit-events.ts'
import type { Store } from './contents.ts'

/** A version of a document type as it is on record. */
export interface StoredDocumentType {
  readonly name: string
  readonly version: string
  /** Its number among the versions of its type, from 1: what was registered later is higher. */
  readonly number: number
  /** JSON text. */
  readonly definition: string
  /** Who registered it. */
  readonly createdBy: string
  /** Milliseconds since 1970, UTC. */
  readonly createdAt: number
}

/** Document types: versions are added and never changed. */
export function documentTypeStore({ kysely, prompt, exclusively, contents }: Store) {
  return {
    /**
     * Adds a version. The same one again, with the same definition, changes nothing.
     * @throws SteleError document_type_conflict
     */
    add(
      type: Pick<StoredDocumentType, 'name' | 'version' | 'definition'>,
      by: Actor,
    ): Promise<StoredDocumentType> {
      const { name, version, definition } = type
      return exclusively(async tx => {
        const known = await tx
          .selectFrom('document_types')
          .selectAll()
          .where('name', '=', name)
          .where('version', '=', version)
          .executeTakeFirst()
        if (known !== undefined) {
          if (known.definition === definition) return fromRow(known)
          throw new SteleError('document_type_conflict', { type: name, version }, { param: 'version' })
        }
        const last = await tx
          .selectFrom('document_types')
          .select('number')
          .where('name', '=', name)
          .orderBy('number', 'desc')
          .limit(1)
          .executeTakeFirst()
        const now = Date.now()
        const row: Row<'document_types'> = {
          name,
          version,
          number: (last?.number ?? 0) + 1,
          definition,
          created_by: actorText(by),
          created_at: now,
        }
        await tx.insertInto('document_types').values(row).execute()
        const event = {
          userId: by.userId ?? '',
          by,
          action: 'document_type.registered',
          target: name,
          details: { version },
        } as const
        await addEvents(tx, contents, eventRow(event, now))
        return fromRow(row)
      })
    },
    async get(name: string, version: string): Promise<StoredDocumentType | undefined> {
      const row = await prompt
        .selectFrom('document_types')
        .selectAll()
        .where('name', '=', keyText('type', name))
        .where('version', '=', keyText('version', version))
        .executeTakeFirst()
      return row && fromRow(row)
    },
    /** The versions of a type, the last one first. */
    async versions(name: string): Promise<StoredDocumentType[]> {
      const rows = await prompt
        .selectFrom('document_types')
        .selectAll()
        .where('name', '=', keyText('type', name))
        .orderBy('number', 'desc')
        .execute()
      return rows.map(fromRow)
    },
    /** All versions of all types, by their names, the last one first. */
    async list(): Promise<StoredDocumentType[]> {
      const rows = await kysely
        .selectFrom('document_types')
        .selectAll()
        .orderBy('name')
        .orderBy('number', 'desc')
        .execute()
      return rows.map(fromRow)
    },
  }
}

function fromRow(row: Row<'document_types'>): StoredDocumentType {
  const { name, version, number, definition } = row
  return { name, version, number, definition, createdBy: row.created_by, createdAt: row.created_at }
}
