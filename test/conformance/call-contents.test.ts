import { describeEachDatabase } from '../harness/databases.ts'
import { callContentsSuite } from './call-contents.suite.ts'
import { goneContentsSuite } from './gone-contents.suite.ts'
import { goneKeysSuite } from './gone-keys.suite.ts'
import { importedContentsSuite } from './imported-contents.suite.ts'
import { replacedEndsSuite } from './replaced-ends.suite.ts'

describeEachDatabase('what events of calls commit to', callContentsSuite)
describeEachDatabase('content that is gone', goneContentsSuite)
describeEachDatabase('calls that were given up for lost', replacedEndsSuite)
describeEachDatabase('what was said, imported', importedContentsSuite)
describeEachDatabase('content whose key is gone', goneKeysSuite)
