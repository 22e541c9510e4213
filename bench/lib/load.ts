import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { LoadOptions, LoadResult } from './load-generator.ts'

const run = promisify(execFile)

/** Runs the load generator in a process of its own. Throws when any reply was wrong: a fast failure is not throughput. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const script = join(import.meta.dirname, 'load-generator.ts')
  const { stdout } = await run(process.execPath, [script, JSON.stringify(options)])
  const result = JSON.parse(stdout) as LoadResult
  if (result.errors > 0 || result.requests === 0)
    throw new Error(
      `${result.errors} of ${result.requests + result.errors} requests failed: ${result.firstError}`,
    )
  return result
}
