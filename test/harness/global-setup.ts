import { rm } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import type { TestProject } from 'vitest/node'
import { makeMemoryFolder } from './memory-folder.ts'
import { startPostgresServer } from './postgres-server.ts'
import { packProgram } from './program.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** A real PostgreSQL that all tests of a run share; each test keeps to a schema of its own. */
    postgresUrl: string
    /** Where that server has its files. */
    postgresFolder: string
    /** Where the program is packed for the tests that start it. */
    programFolder: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const memory = process.env['TMPDIR'] === undefined ? makeMemoryFolder() : undefined
  if (memory !== undefined) process.env['TMPDIR'] = memory
  const [server, program] = await Promise.all([startPostgresServer(), packProgram()])
  project.provide('postgresUrl', server.url)
  project.provide('postgresFolder', server.folder)
  project.provide('programFolder', program)
  // For the threads of the tests' own processes, which are not told anything else.
  process.env['STELE_TEST_PROGRAM'] = pathToFileURL(program).href
  return async () => {
    await server.stop()
    if (memory !== undefined) await rm(memory, { recursive: true, force: true })
  }
}
