import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { batchSuite } from './batch.suite.ts'

describeEachDatabaseAndMemory('batch', batchSuite)
