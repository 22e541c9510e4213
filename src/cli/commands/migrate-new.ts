import { writeFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { knownMigrations } from '../../db/migrate.ts'
import { SteleError } from '../../errors.ts'
import { Failure } from '../failure.ts'
import { say, writeLine } from '../output.ts'

const folder = new URL('../../db/migrations/', import.meta.url)

const template = `import type { Migration } from '../migrate.ts'

/** What this changes and why. */
export const up: Migration['up'] = ({ text }) => [\`ALTER TABLE … ADD COLUMN … \${text}\`]

export const down: Migration['down'] = () => ['ALTER TABLE … DROP COLUMN …']
`

/** Writes the next numbered migration file and prints its path. */
export async function writeMigration(title: string): Promise<void> {
  // The published package holds no TypeScript: a migration written there would be lost with the next install.
  if (!import.meta.url.endsWith('.ts'))
    throw new Failure('New migrations are written in a clone of Stele, not in the installed package.')
  const slug = title
    .trim()
    .toLowerCase()
    .replace(/[\s_]+/g, '-')
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(slug) || slug.length > 60) {
    throw new SteleError('usage', {
      reason: 'Name the migration with letters, digits and - only, 60 at most.',
    })
  }
  const newest = (await knownMigrations()).at(-1)?.id ?? 0
  const path = fileURLToPath(new URL(`${String(newest + 1).padStart(4, '0')}-${slug}.ts`, folder))
  await writeFile(path, template, { flag: 'wx' })
  await writeLine(relative('.', path))
  say('Fill in up and down, change src/db/tables.ts to match, then run: npm run schema')
}
