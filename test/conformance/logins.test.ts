import { describeEachDatabase } from '../harness/databases.ts'
import { loginsSuite } from './logins.suite.ts'

describeEachDatabase('logins', loginsSuite)
