import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { plainCallsSuite } from './plain-calls.suite.ts'

describeEachDatabaseAndMemory('calls that are no chat', plainCallsSuite)
