import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { compareSuite } from './compare.suite.ts'

describeEachDatabaseAndMemory('compared calls', compareSuite)
