/** Work for a request that reads the storage: it ends with the client, and after a while. */
import type { FastifyReply } from 'fastify'
import { fail } from '#shared/errors.ts'
import { formatSpan, type Ms } from '#shared/units.ts'

/** `STORAGE_UNAVAILABLE` when `work` is not done within `limit`. */
export const within = async <T>(
  reply: FastifyReply,
  limit: Ms,
  work: (stop: AbortSignal) => Promise<T>,
): Promise<T> => {
  const stop = new AbortController()
  const end = (problem: string): void =>
    stop.abort(fail('STORAGE_UNAVAILABLE', { storage: 'of the backup', verb: 'read', problem }))
  const timer = setTimeout(() => end(`it took longer than ${formatSpan(limit)}`), limit)
  const left = (): void => end('the client went away')
  reply.raw.once('close', left)
  try {
    return await work(stop.signal)
  } finally {
    clearTimeout(timer)
    reply.raw.off('close', left)
  }
}
