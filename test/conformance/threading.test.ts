import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { namedSuite } from './named.suite.ts'
import { threadingSuite } from './threading.suite.ts'

describeEachDatabaseAndMemory('threading', threadingSuite)
describeEachDatabaseAndMemory('named conversations', namedSuite)
