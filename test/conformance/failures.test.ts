import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { failuresSuite } from './failures.suite.ts'

describeEachDatabaseAndMemory('failures', failuresSuite)
