import type { Guard } from '../guards.ts'
import type { Migration } from '../migrate.ts'

/** What is on record stays as it is: audit rows for good, requests and responses but for a reason that is given. */
const guarded: readonly Guard[] = [
  {
    table: 'llm_requests',
    keys: [['id', 'user_id']],
    updated: ['retention', 'erasure', 'purge', 'rotation'],
    removed: ['retention', 'storage', 'copy'],
  },
  {
    table: 'llm_responses',
    keys: [['request_id', 'user_id']],
    updated: ['retention', 'erasure', 'purge', 'rotation', 'repricing', 'choice'],
    removed: ['retention', 'recovery', 'storage', 'copy'],
  },
  { table: 'audit_events', keys: [['id', 'user_id']], updated: [], removed: ['storage', 'copy'] },
  {
    table: 'audit_details',
    keys: [['user_id', 'event_id']],
    updated: ['rotation'],
    removed: ['erasure', 'copy'],
  },
  { table: 'audit_log', keys: [['leaf_index'], ['event_id', 'user_id']], updated: [], removed: ['copy'] },
  {
    table: 'audit_checkpoints',
    keys: [['tree_size']],
    updated: [],
    // Witnesses add their lines behind the others.
    unless:
      'NEW.tree_size = OLD.tree_size AND NEW.root = OLD.root AND NEW.created_at = OLD.created_at AND substr(NEW.note, 1, length(OLD.note)) = OLD.note',
    removed: ['copy'],
  },
  {
    table: 'audit_tiles',
    keys: [['level', 'tile']],
    updated: [],
    unless:
      'NEW.level = OLD.level AND NEW.tile = OLD.tile AND substr(NEW.hashes, 1, length(OLD.hashes)) = OLD.hashes',
    removed: ['copy'],
  },
  {
    table: 'audit_keys',
    keys: [['id']],
    updated: [],
    unless:
      'OLD.retired_at IS NULL AND NEW.retired_at IS NOT NULL AND NEW.id = OLD.id AND NEW.vkey = OLD.vkey AND NEW.created_at = OLD.created_at',
    removed: ['copy'],
  },
]

export const up: Migration['up'] = ({ guards }) => [...guards.prepare, ...guarded.flatMap(guards.make)]

export const down: Migration['down'] = ({ guards }) => [
  ...guarded.toReversed().flatMap(({ table }) => guards.remove(table)),
  ...guards.removePrepared,
]
