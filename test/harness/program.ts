import { chmod, cp, glob, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { rolldown } from 'rolldown'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** What is started as a process or a thread, or imported by a name that is put together. */
const entries = ['src/cli/main.ts', 'src/**/*-thread.ts', 'src/db/migrations/*.ts', 'test/fixtures/*.ts']

export interface Program {
  /** Laid out as the clone is, JavaScript in place of TypeScript. */
  readonly folder: string
  remove(): Promise<void>
}

/**
 * Packs the program and the scripts of test/fixtures with all they import into few files. The tests start hundreds of
 * processes; to find and load two thousand modules is most of what a start costs.
 */
export async function packProgram(): Promise<Program> {
  const folder = await mkdtemp(join(tmpdir(), 'stele-test-program-'))
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    await pack(folder)
    // Some tests run it as another user.
    await chmod(folder, 0o755)
    await cp(join(root, 'package.json'), join(folder, 'package.json'))
    await cp(join(root, 'schema'), join(folder, 'schema'), { recursive: true })
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  } catch (error) {
    await remove()
    throw error
  }
  return { folder, remove }
}

async function pack(folder: string): Promise<void> {
  const input: Record<string, string> = {}
  for await (const file of glob(entries, { cwd: root })) input[file.replace(/\.ts$/, '')] = join(root, file)
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
            const place = pathToFileURL(join(folder, relative(root, id).replace(/\.ts$/, '.js')))
            return { code: code.replaceAll('import.meta.url', JSON.stringify(place.href)), map: null }
          },
        },
      },
    ],
  })
  await bundle.write({
    dir: folder,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
  })
  await bundle.close()
}
