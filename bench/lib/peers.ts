import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { say } from './report.ts'

/** `bench/`, which has its own `package.json` and lock so that the main install stays light. */
export const benchDirectory = dirname(import.meta.dirname)

/** The project root. */
export const rootDirectory = dirname(benchDirectory)

/**
 * Installs the peers a benchmark compares with (`bench/package-lock.json`) unless they are there already.
 * Import peers dynamically, after this.
 */
export function ensurePeers(): void {
  if (existsSync(join(benchDirectory, 'node_modules', '.package-lock.json'))) return
  say('Installing the peers of the benchmarks once: npm ci --prefix bench')
  const run = spawnSync('npm', ['ci', '--no-progress'], { cwd: benchDirectory, stdio: ['ignore', 2, 2] })
  if (run.error) throw run.error
  if (run.status !== 0) throw new Error(`npm ci in ${benchDirectory} ended with status ${run.status}`)
}
