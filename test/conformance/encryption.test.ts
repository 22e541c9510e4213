import { describeEachDatabase } from '../harness/databases.ts'
import { encryptionSuite } from './encryption.suite.ts'

describeEachDatabase('encryption', encryptionSuite)
