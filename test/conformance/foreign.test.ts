import { describeEachDatabase } from '../harness/databases.ts'
import { foreignSuite } from './foreign.suite.ts'
import { foreignFilesSuite } from './foreign-files.suite.ts'
import { foreignRunsSuite } from './foreign-runs.suite.ts'

describeEachDatabase('what comes of the rows of other programs, imported to', foreignSuite)
describeEachDatabase('repeating an import from other programs to', foreignRunsSuite)
describeEachDatabase('files of other programs, imported to', foreignFilesSuite)
