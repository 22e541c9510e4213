import { describeEachDatabase } from '../harness/databases.ts'
import { auditBacklogSuite } from './audit-backlog.suite.ts'
import { auditBegunSuite } from './audit-begun.suite.ts'

describeEachDatabase('audit log that is begun once', auditBegunSuite)
describeEachDatabase('audit log of a database that is older', auditBacklogSuite)
