import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { guardsSuite } from './guards.suite.ts'

describeEachDatabaseAndMemory('guards', guardsSuite)
