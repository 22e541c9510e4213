import type { Migration } from '../migrate.ts'

/** What events tell beside their facts may quote somebody: it becomes content, which can be sealed. */
export const up: Migration['up'] = ({ bytes, plainContent }) => [
  `ALTER TABLE audit_events ADD COLUMN details_content ${bytes}`,
  `UPDATE audit_events SET details_content = ${plainContent('details')} WHERE details IS NOT NULL`,
  'ALTER TABLE audit_events DROP COLUMN details',
  'ALTER TABLE audit_events RENAME COLUMN details_content TO details',
]

/** What is sealed cannot be read without its key: with any of it there is no way back. */
export const down: Migration['down'] = ({ text, integer, plainContent, textOfContent }) => [
  `CREATE TABLE content_is_encrypted (details ${integer} CONSTRAINT content_is_encrypted CHECK (details = 0))`,
  `INSERT INTO content_is_encrypted SELECT count(*) FROM audit_events WHERE substr(details, 1, 1) <> ${plainContent("''")}`,
  'DROP TABLE content_is_encrypted',
  `ALTER TABLE audit_events ADD COLUMN details_text ${text}`,
  `UPDATE audit_events SET details_text = ${textOfContent('details')} WHERE details IS NOT NULL`,
  'ALTER TABLE audit_events DROP COLUMN details',
  'ALTER TABLE audit_events RENAME COLUMN details_text TO details',
]
