import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { librarySuite } from './library.suite.ts'
import { libraryInputSuite } from './library-input.suite.ts'
import { purgeSuite } from './purge.suite.ts'

describeEachDatabaseAndMemory('library', librarySuite)
describeEachDatabaseAndMemory('what the library is given', libraryInputSuite)
describeEachDatabaseAndMemory('purging', purgeSuite)
