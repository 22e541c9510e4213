import type { Migration } from '../migrate.ts'

/**
 * Logins, rotation of keys, and grants to read what is stored of others. Passwords are not in the users' own rows, which
 * every first call makes and every list shows. A key narrows its user's role from here on: users get the role that their
 * keys had made of them.
 */
export const up: Migration['up'] = ({ text, integer, clustered }) => [
  'CREATE INDEX users_email ON users (email) WHERE email IS NOT NULL',
  'CREATE INDEX api_keys_user ON api_keys (user_id, id)',
  `ALTER TABLE api_keys ADD COLUMN previous_hash ${text}`,
  `ALTER TABLE api_keys ADD COLUMN previous_expires_at ${integer}`,
  `ALTER TABLE api_keys ADD COLUMN rotated_at ${integer}`,
  `ALTER TABLE api_keys ADD COLUMN issued_by ${text}`,
  'CREATE UNIQUE INDEX api_keys_previous ON api_keys (previous_hash) WHERE previous_hash IS NOT NULL',
  ...['service', 'admin'].map(
    role =>
      `UPDATE users SET role = '${role}' WHERE role <> 'admin' AND id IN (
        SELECT user_id FROM api_keys WHERE revoked_at IS NULL AND ' ' || scopes || ' ' LIKE '% ${role} %')`,
  ),
  `CREATE TABLE user_passwords (
    user_id ${text} NOT NULL PRIMARY KEY,
    hash ${text} NOT NULL,
    is_temporary ${integer} NOT NULL,
    changed_at ${integer} NOT NULL
  )`,
  `CREATE TABLE login_sessions (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    token_hash ${text} NOT NULL,
    place ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    last_seen_at ${integer} NOT NULL,
    expires_at ${integer} NOT NULL,
    ended_at ${integer},
    PRIMARY KEY (user_id, id)
  )${clustered}`,
  'CREATE UNIQUE INDEX login_sessions_token ON login_sessions (token_hash)',
  `CREATE TABLE login_attempts (
    subject ${text} NOT NULL PRIMARY KEY,
    failures ${integer} NOT NULL,
    last_at ${integer} NOT NULL,
    blocked_until ${integer} NOT NULL
  )${clustered}`,
  'CREATE INDEX login_attempts_age ON login_attempts (last_at)',
  `CREATE TABLE break_glass_grants (
    user_id ${text} NOT NULL,
    id ${text} NOT NULL,
    holder ${text} NOT NULL,
    reason ${text} NOT NULL,
    granted_by ${text} NOT NULL,
    created_at ${integer} NOT NULL,
    expires_at ${integer} NOT NULL,
    revoked_at ${integer},
    PRIMARY KEY (user_id, id)
  )${clustered}`,
  'CREATE INDEX break_glass_grants_holder ON break_glass_grants (holder, user_id)',
]

export const down: Migration['down'] = () => [
  'DROP TABLE break_glass_grants',
  'DROP TABLE login_attempts',
  'DROP TABLE login_sessions',
  'DROP TABLE user_passwords',
  'DROP INDEX api_keys_previous',
  ...['issued_by', 'rotated_at', 'previous_expires_at', 'previous_hash'].map(
    column => `ALTER TABLE api_keys DROP COLUMN ${column}`,
  ),
  'DROP INDEX api_keys_user',
  'DROP INDEX users_email',
]
