import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inject } from 'vitest'
import type {} from './global-setup.ts'

/** Something to start as a process, and what its environment needs so that the code compiled once serves all starts. */
export interface Script {
  readonly file: string
  readonly env: { readonly NODE_COMPILE_CACHE: string }
}

/** A source file as it is; `path` from the root of the clone. */
export function source(path: string): Script {
  return {
    file: fileURLToPath(new URL(`../../${path}`, import.meta.url)),
    env: { NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '' },
  }
}

/** The same, packed with all that it imports: it starts in a third of the time. See {@link packProgram}. */
export function packed(path: string): Script {
  const folder = inject('programFolder')
  // Beside the program: it goes when the program goes.
  const env = { NODE_COMPILE_CACHE: join(folder, 'compiled') }
  return { file: join(folder, path.replace(/\.ts$/, '.js')), env }
}
