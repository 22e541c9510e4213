import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { retentionSuite } from './retention.suite.ts'
import { retentionBesideSuite } from './retention-beside.suite.ts'

describeEachDatabaseAndMemory('retention', retentionSuite)
describeEachDatabaseAndMemory('what retention takes along', retentionBesideSuite)
