import { rmSync } from 'node:fs'

/** Removes what an earlier build left, so that nothing that is gone from src/ is published. */
rmSync(new URL('../dist/', import.meta.url), { recursive: true, force: true })
