import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Tests start hundreds of processes, each of which would otherwise strip the types of the same sources anew.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('node_modules/.cache/stele-tests', import.meta.url),
)

const preloaded = (file: string): string[] => [
  '--import',
  new URL(`test/harness/${file}`, import.meta.url).href,
]

/** What kills processes, fills disks, takes databases away or plays random histories: few tests that take nearly half of the time. */
const long = 'test/**/*.long.test.ts'

export default defineConfig(({ mode }) => ({
  test: {
    include: [mode === 'long' ? long : 'test/**/*.test.ts'],
    exclude: mode === 'test' ? [long] : [],
    reporters: ['default', './test/harness/closing-line.ts'],
    globalSetup: ['test/harness/global-setup.ts'],
    // Many tests wait for processes that start and for time limits to pass.
    maxWorkers: availableParallelism() * 2,
    // No test changes a module: what is loaded once serves them all.
    isolate: false,
    testTimeout: 40_000,
    hookTimeout: 30_000,
    expect: { poll: { timeout: 15_000 } },
    // The sources run as Node itself runs them: types stripped, nothing bundled.
    // Threads they start do so from the packed program.
    // With delays they do so from the sources, in which what is delayed is found.
    // Tests make many short-lived objects: room for them saves a twentieth of the processor time.
    execArgv: [
      '--max-semi-space-size=64',
      ...preloaded(mode === 'delays' ? 'delays.ts' : 'packed-threads.ts'),
    ],
    experimental: { viteModuleRunner: false },
  },
}))
