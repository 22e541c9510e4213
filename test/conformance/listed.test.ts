import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { listedSuite } from './listed.suite.ts'

describeEachDatabaseAndMemory('stored completions', listedSuite)
