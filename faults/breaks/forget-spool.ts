import type { adoptSpools as original } from '../../src/recorder/adopt-spools.ts'

export * from '../../src/recorder/adopt-spools.ts'

export const adoptSpools: typeof original = async () => ({ drained: 0, rejected: 0, orphaned: 0 })
