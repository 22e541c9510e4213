import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { idempotencySuite } from './idempotency.suite.ts'

describeEachDatabaseAndMemory('idempotency keys', idempotencySuite)
