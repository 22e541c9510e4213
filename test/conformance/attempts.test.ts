import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { attemptsSuite } from './attempts.suite.ts'

describeEachDatabaseAndMemory('attempts', attemptsSuite)
