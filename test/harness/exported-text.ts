import { exportLines } from '../../src/moving/export.ts'
import type { Stele } from '../../src/stele.ts'

/** Everything that whoever has the keys can read of a store. */
export async function exportedText({ database }: Pick<Stele, 'database'>): Promise<string> {
  const lines: string[] = []
  await exportLines(database, async text => void lines.push(text), { withKeys: true })
  return lines.join('')
}
