import { describeEachDatabase } from '../harness/databases.ts'
import { auditLogSuite } from './audit-log.suite.ts'
import { auditLogBrokenSuite } from './audit-log-broken.suite.ts'

describeEachDatabase('audit log', auditLogSuite)
describeEachDatabase('audit log that was changed', auditLogBrokenSuite)
