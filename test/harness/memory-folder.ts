import { accessSync, chmodSync, constants, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'

/** Files that Linux keeps in memory. */
const memory = '/dev/shm'
const prefix = 'stele-test-run-'

/** Bytes that must be free there: a run takes up to a gigabyte, most of it PostgreSQL's. */
const leastFree = 4 * 1024 ** 3

/**
 * A folder for the temporary files of a run that costs no disk: nothing that these tests prove is to outlive a power cut, and
 * every commit waits for the disk twice otherwise. Undefined where there is none; then they go where the system says.
 */
export function makeMemoryFolder(): string | undefined {
  try {
    accessSync(memory, constants.W_OK)
    removeOfEndedRuns()
    const { bavail, bsize } = statfsSync(memory)
    if (bavail * bsize < leastFree) return undefined
    const folder = mkdtempSync(join(memory, `${prefix}${process.pid}-`))
    // PostgreSQL and some tests run as another user.
    chmodSync(folder, 0o755)
    return folder
  } catch {
    return undefined
  }
}

/** What a run that was killed has left would take up memory for good. */
function removeOfEndedRuns(): void {
  for (const name of readdirSync(memory)) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid)))
      rmSync(join(memory, name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
