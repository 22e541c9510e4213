import { createHash } from 'node:crypto'
import {
  chmod,
  cp,
  glob,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
} from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { rolldown } from 'rolldown'

const root = fileURLToPath(new URL('../../', import.meta.url))
const programs = join(root, 'node_modules/.cache/stele-tests/programs')

/** What is started as a process or a thread, or imported by a name that is put together. */
const entries = ['src/cli/main.ts', 'src/**/*-thread.ts', 'src/db/migrations/*.ts', 'test/fixtures/*.ts']
const sources = ['src/**/*.ts', 'test/**/*.ts', 'package.json', 'package-lock.json', 'schema/*']

/** A program that no run has used for so many milliseconds is removed. */
const keptFor = 2 * 60 * 60 * 1000

/**
 * Packs the program and the scripts of test/fixtures with all they import into few files, laid out as the clone is, and
 * resolves with the folder. The tests start hundreds of processes and threads; to find and load two thousand modules is
 * most of what a start costs. Runs of the same sources share one.
 */
export async function packProgram(): Promise<string> {
  const folder = join(programs, await digestOfSources())
  await mkdir(programs, { recursive: true })
  const known = await stat(folder).catch(() => undefined)
  if (known === undefined) await make(folder)
  await utimes(folder, new Date(), new Date())
  await removeUnused()
  return folder
}

async function digestOfSources(): Promise<string> {
  const digest = createHash('sha256').update(`${root}\0${process.version}\0`)
  for (const file of await filesOf(sources))
    digest.update(`${file}\0`).update(await readFile(join(root, file)))
  return digest.digest('hex').slice(0, 16)
}

async function filesOf(patterns: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for await (const file of glob(patterns, { cwd: root })) files.push(file)
  return files.sort()
}

/** Whole or not at all: another run may make the same. */
async function make(folder: string): Promise<void> {
  const unfinished = await mkdtemp(`${folder}-`)
  try {
    await pack(unfinished, folder)
    await cp(join(root, 'package.json'), join(unfinished, 'package.json'))
    await cp(join(root, 'schema'), join(unfinished, 'schema'), { recursive: true })
    await symlink(join(root, 'node_modules'), join(unfinished, 'node_modules'))
    // Some tests run it as another user.
    await chmod(unfinished, 0o755)
    await rename(unfinished, folder)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    if ((await stat(folder).catch(() => undefined)) === undefined) throw error
  }
}

async function pack(into: string, place: string): Promise<void> {
  const input: Record<string, string> = {}
  for (const file of await filesOf(entries)) input[file.replace(/\.ts$/, '')] = join(root, file)
  const bundle = await rolldown({
    input,
    cwd: root,
    platform: 'node',
    // What runs is what Node would load: nothing is left out for being unused.
    treeshake: false,
    external: ['pg-native'],
    plugins: [
      {
        name: 'places',
        transform: {
          filter: { id: /\.ts$/, code: 'import.meta.url' },
          // A module finds the files beside it, whatever file it is packed in.
          handler(code, id) {
            const url = pathToFileURL(join(place, relative(root, id).replace(/\.ts$/, '.js'))).href
            return { code: code.replaceAll('import.meta.url', JSON.stringify(url)), map: null }
          },
        },
      },
    ],
  })
  await bundle.write({
    dir: into,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
  })
  await bundle.close()
}

async function removeUnused(): Promise<void> {
  for (const name of await readdir(programs)) {
    const path = join(programs, name)
    const made = await stat(path).catch(() => undefined)
    if (made !== undefined && made.mtimeMs < Date.now() - keptFor)
      await rm(path, { recursive: true, force: true })
  }
}
