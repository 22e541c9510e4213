import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { conversationsSuite } from './conversations.suite.ts'

describeEachDatabaseAndMemory('conversations', conversationsSuite)
