import { execFile } from 'node:child_process'
import { cp, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { temporaryFolder } from './databases.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Builds the package into a folder of its own, as npm would install it. Returns that folder. */
export async function builtPackage(): Promise<string> {
  const installed = await temporaryFolder()
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [
    compiler,
    '-p',
    join(root, 'tsconfig.build.json'),
    '--outDir',
    join(installed, 'dist'),
  ])
  await cp(join(root, 'package.json'), join(installed, 'package.json'))
  await cp(join(root, 'schema'), join(installed, 'schema'), { recursive: true })
  await symlink(join(root, 'node_modules'), join(installed, 'node_modules'))
  return installed
}

/** An empty project that has the built package as its only dependency. */
export async function projectUsingPackage(): Promise<string> {
  const installed = await builtPackage()
  const project = await temporaryFolder()
  await mkdir(join(project, 'node_modules'))
  await symlink(installed, join(project, 'node_modules/stele'))
  return project
}
