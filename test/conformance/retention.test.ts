import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { retentionSuite } from './retention.suite.ts'

describeEachDatabaseAndMemory('retention', retentionSuite)
