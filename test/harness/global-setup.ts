import type { TestProject } from 'vitest/node'
import { startPostgresServer } from './postgres-server.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** A real PostgreSQL that all tests of a run share; each test keeps to a schema of its own. */
    postgresUrl: string
    /** Where that server has its files. */
    postgresFolder: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startPostgresServer()
  project.provide('postgresUrl', server.url)
  project.provide('postgresFolder', server.folder)
  return () => server.stop()
}
