/** The envelope of lists (API.md, "Conventions"). */
import type { FastifyRequest } from 'fastify'
import type { Static } from '#shared/schema.ts'
import type { ListMeta } from '#shared/api/shapes.ts'
import { type Page, type PageRequest, showCursor } from '../../core/page.ts'

export const listAnswer = <T>(
  request: FastifyRequest,
  asked: PageRequest,
  page: Page<T>,
): { data: T[]; meta: Static<typeof ListMeta> } => ({
  data: [...page.items],
  meta: {
    request_id: request.id,
    total: page.total,
    ...(page.isLowerBound ? { total_is_lower_bound: true } : {}),
    limit: asked.limit,
    offset: asked.offset,
    next_cursor: page.next === null ? null : showCursor(asked.sort, page.next),
  },
})

/** The same for lists that say what all of them come to. */
export const sizedAnswer = <T>(
  request: FastifyRequest,
  asked: PageRequest,
  page: Page<T>,
): { data: T[]; meta: Static<typeof ListMeta> & { total_bytes: number } } => {
  const { data, meta } = listAnswer(request, asked, page)
  return { data, meta: { ...meta, total_bytes: page.totalBytes ?? 0 } }
}
