import { sql } from 'kysely'
import type { FollowedNames } from '../following.ts'
import type { TaskNames } from '../tasks/tasks.ts'

/** One that waits for an open request is not worked on before that is approved. */
export const NAMES: TaskNames & FollowedNames = {
  tasks: sql.table('verifications'),
  events: sql.table('verification_events'),
  of: sql.ref('verification_id'),
  logs: null,
  open: sql`t.status in ('pending', 'running') and (t.open_request_id is null or exists (
    select 1 from open_requests q where q.id = t.open_request_id and q.approved_at is not null))`,
  busy: 'running',
}
