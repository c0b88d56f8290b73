import { sql } from 'kysely'
import type { FollowedNames } from '../following.ts'
import type { TaskNames } from '../tasks/tasks.ts'

export const NAMES: TaskNames & FollowedNames = {
  tasks: sql.table('downloads'),
  events: sql.table('download_events'),
  of: sql.ref('download_id'),
  logs: null,
  open: sql`t.status = 'pending' and t.deleted_at is null`,
  busy: 'pending',
}
