import { readFileSync } from 'node:fs'

/** The columns that docs/plaintext.md names, each as `table.column`, by the heading that they stand under. */
export function plainColumns(): { readonly others: ReadonlySet<string>; readonly own: ReadonlySet<string> } {
  const text = readFileSync(new URL('../../docs/plaintext.md', import.meta.url), 'utf8')
  const under = (heading: string): ReadonlySet<string> => {
    const [, section = ''] = text.split(`## ${heading}\n`)
    const rows = (section.split('\n## ', 1)[0] ?? '').split('\n').filter(line => line.startsWith('| `'))
    return new Set(
      rows.flatMap(row =>
        [...(row.split('|')[1] ?? '').matchAll(/`([a-z_]+\.[a-z_]+)`/g)].map(([, name = '']) => name),
      ),
    )
  }
  return { others: under('Words of others'), own: under('What Stele makes') }
}
