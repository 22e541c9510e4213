import { execFile } from 'node:child_process'
import { cp, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Builds the package into an empty folder, as npm would install it. */
export async function buildPackage(folder: string): Promise<void> {
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [
    compiler,
    '-p',
    join(root, 'tsconfig.build.json'),
    '--outDir',
    join(folder, 'dist'),
    // Types are checked when the package is made; here they would take three quarters of the time.
    '--noCheck',
  ])
  await cp(join(root, 'package.json'), join(folder, 'package.json'))
  await cp(join(root, 'schema'), join(folder, 'schema'), { recursive: true })
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
}
