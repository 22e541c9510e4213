import { describeEachDatabase, describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { memoryAmongWritersSuite, memorySuite } from './memory.suite.ts'

describeEachDatabaseAndMemory('conversation memory', memorySuite)
describeEachDatabase('conversation memory among other writers', memoryAmongWritersSuite)
