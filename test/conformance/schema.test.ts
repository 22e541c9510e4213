import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { schemaSuite } from './schema.suite.ts'

describeEachDatabaseAndMemory('schema', schemaSuite)
