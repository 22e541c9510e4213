import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { callsSuite } from './calls.suite.ts'

describeEachDatabaseAndMemory('calls', callsSuite)
