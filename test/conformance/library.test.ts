import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { librarySuite } from './library.suite.ts'
import { purgeSuite } from './purge.suite.ts'

describeEachDatabaseAndMemory('library', librarySuite)
describeEachDatabaseAndMemory('purging', purgeSuite)
