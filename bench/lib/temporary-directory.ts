import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TemporaryDirectory {
  readonly path: string
  remove(): Promise<void>
}

const present = new Set<string>()
// A benchmark that is interrupted or fails must not leave gigabytes behind.
process.on('exit', () => {
  for (const path of present) {
    try {
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    } catch {
      process.stderr.write(`could not remove ${path}\n`)
    }
  }
})

/** A new directory directly under the system's temporary one, gone at the latest when the process ends. */
export async function temporaryDirectory(purpose: string): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), `stele-bench-${purpose}-`))
  present.add(path)
  return {
    path,
    async remove() {
      await rm(path, { recursive: true, force: true })
      present.delete(path)
    },
  }
}
