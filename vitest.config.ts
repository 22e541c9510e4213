import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/harness/closing-line.ts'],
    globalSetup: ['test/harness/global-setup.ts'],
    // Half the time here is spent waiting for disks and for processes that start.
    maxWorkers: Math.ceil(availableParallelism() * 1.5),
    testTimeout: 20_000,
    hookTimeout: 30_000,
    expect: { poll: { timeout: 15_000 } },
    // The sources run as Node itself runs them: types stripped, nothing bundled.
    experimental: { viteModuleRunner: false },
  },
})
