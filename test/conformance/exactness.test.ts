import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { repliesSuite } from './replies.suite.ts'
import { spellingsSuite } from './spellings.suite.ts'

describeEachDatabaseAndMemory('spellings', spellingsSuite)
describeEachDatabaseAndMemory('replies', repliesSuite)
