/** What the benchmarks use of peers, which only a benchmark installs: types are checked where they are not. */

interface PendingRows extends Promise<unknown> {
  execute(): Promise<unknown>
}

interface PostgresQueries {
  unsafe(text: string, values: unknown[], options: { prepare: boolean }): PendingRows
}

interface Postgres extends PostgresQueries {
  (text: TemplateStringsArray): PendingRows
  begin(work: (tx: PostgresQueries) => readonly PendingRows[]): Promise<unknown>
  reserve(): Promise<PostgresQueries & { release(): void }>
  end(): Promise<void>
}

interface MastraMemory {
  saveThread(input: {
    thread: {
      id: string
      resourceId: string
      title: string
      createdAt: Date
      updatedAt: Date
      metadata: Record<string, unknown>
    }
  }): Promise<unknown>
  saveMessages(input: {
    messages: readonly {
      id: string
      role: 'user' | 'assistant'
      createdAt: Date
      threadId: string
      resourceId: string
      content: { format: 2; parts: readonly { type: 'text'; text: string }[] }
    }[]
  }): Promise<unknown>
}

declare module '@mastra/core/storage' {
  export interface MastraCompositeStore {
    init(): Promise<void>
    getStore(name: 'memory'): Promise<MastraMemory | undefined>
    close(): Promise<void>
  }
}

declare module '@mastra/libsql' {
  import type { MastraCompositeStore } from '@mastra/core/storage'
  export const LibSQLStore: new (options: { id: string; url: string }) => MastraCompositeStore
}

declare module '@mastra/pg' {
  import type { MastraCompositeStore } from '@mastra/core/storage'
  export const PostgresStore: new (options: { id: string; connectionString: string }) => MastraCompositeStore
}

declare module 'postgres' {
  const connect: (url: string, options: { max: number }) => Postgres
  export default connect
}
