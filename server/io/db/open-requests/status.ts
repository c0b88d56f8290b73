import { sql } from 'kysely'
import type { OpenRequest } from '#shared/api/open-requests.ts'

/**
 * Of a request `q`, whose restore, if it is for one, is `r`. When its time is over nothing is opened by it any more, and a
 * restore that is over waits for no approval.
 */
export const STATUS = sql<OpenRequest['status']>`case
  when q.expires_at <= hf_now() then 'expired'
  when q.approved_at is not null then 'approved'
  when r.status is not null and r.status <> 'pending' then 'expired'
  else 'pending' end`
