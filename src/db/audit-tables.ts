/** The log of audit events, which `tables.ts` has among its tables. */

const text = { kind: 'text', nullable: false } as const
const integer = { kind: 'integer', nullable: false } as const
const integerOrNull = { kind: 'integer', nullable: true } as const
const contentText = { kind: 'contentText', nullable: false } as const
const bytes = { kind: 'bytes', nullable: false } as const

export const auditTables = {
  audit_queue: { id: text, leaves: bytes },
  audit_log: {
    leaf_index: integer,
    event_id: text,
    user_id: text,
    action: text,
    category: text,
    severity: text,
    salt: bytes,
    commitment: bytes,
  },
  audit_details: { user_id: text, event_id: text, content: contentText, created_at: integer },
  audit_counts: { day: text, action: text, category: text, severity: text, events: integer },
  audit_tiles: { level: integer, tile: integer, hashes: bytes },
  audit_checkpoints: { tree_size: integer, root: bytes, note: text, created_at: integer },
  audit_keys: { id: text, vkey: text, created_at: integer, retired_at: integerOrNull },
  audit_places: { id: text, position: integer, updated_at: integer },
} as const

export const auditKeys = {
  audit_queue: ['id'],
  audit_log: ['leaf_index'],
  audit_details: ['user_id', 'event_id'],
  audit_counts: ['day', 'action', 'category', 'severity'],
  audit_tiles: ['level', 'tile'],
  audit_checkpoints: ['tree_size'],
  audit_keys: ['id'],
  audit_places: ['id'],
} as const
