import { describeEachDatabase } from '../harness/databases.ts'
import { encryptionSuite } from './encryption.suite.ts'
import { eventsSuite } from './events.suite.ts'

describeEachDatabase('encryption', encryptionSuite)
describeEachDatabase('encryption of events', eventsSuite)
