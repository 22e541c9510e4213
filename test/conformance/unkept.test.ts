import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { unkeptSuite } from './unkept.suite.ts'

describeEachDatabaseAndMemory('content that is not kept', unkeptSuite)
