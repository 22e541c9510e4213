import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { loadSuite } from './load.suite.ts'

describeEachDatabaseAndMemory('load', loadSuite)
