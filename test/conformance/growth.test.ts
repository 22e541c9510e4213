import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { growthSuite } from './growth.suite.ts'

describeEachDatabaseAndMemory('growth', growthSuite)
