import type { PostgresPool } from 'kysely'
import type postgres from 'postgres'
import { unavailable } from './errors.ts'
import { type Session, clientOf, discard } from './session.ts'

/**
 * A pool of connections in the shape that Kysely's PostgreSQL dialect wants, over postgres.js clients of one
 * connection each. Not postgres.js's own pool and the dialect over its `reserve()`, because version 3.4.9 of it does
 * not survive a server that goes away [tried: `pg_terminate_backend` in a transaction ends the process with an
 * uncaught TypeError; porsager/postgres issues 1195 and 1199], and because `commit` of an aborted transaction must
 * be noticed, which needs the command tag.
 */
export type PoolSettings = {
  /** Makes one client of one connection, not yet connected. It calls `closed` when that connection goes away. */
  readonly open: (closed: () => void) => postgres.Sql
  readonly maxConnections: number
  /** How long a caller waits for a free connection, in ms. */
  readonly acquireDeadline: number
  /** How long an answer is awaited, in ms; above the statement timeout, for a server that is gone without a word. */
  readonly queryDeadline: number
}

type Waiter = { readonly take: (session: Session) => void; readonly drop: (error: Error) => void }

/** Opens connections as they are needed, up to the limit; waiters are served in order. */
export const createPool = (settings: PoolSettings): PostgresPool => {
  const idle: Session[] = []
  const waiting: Waiter[] = []
  const all = new Set<Session>()
  let ended = false

  const open = (): Session => {
    const session: Session = {
      gone: false,
      sql: settings.open(() => {
        session.gone = true
      }),
    }
    all.add(session)
    return session
  }

  const free = (): Session | null => {
    for (let session = idle.pop(); session !== undefined; session = idle.pop()) {
      if (!session.gone) return session
      all.delete(session)
    }
    return all.size < settings.maxConnections ? open() : null
  }

  const giveBack = (session: Session, destroy: boolean): void => {
    if (destroy || ended) discard(session)
    if (session.gone) all.delete(session)
    else idle.push(session)
    if (waiting.length === 0 || ended) return
    const next = free()
    if (next !== null) waiting.shift()?.take(next)
  }

  const wait = async (): Promise<Session> => {
    const { promise, resolve, reject } = Promise.withResolvers<Session>()
    const waiter: Waiter = { take: resolve, drop: reject }
    waiting.push(waiter)
    const timer = setTimeout(() => {
      const at = waiting.indexOf(waiter)
      if (at === -1) return
      waiting.splice(at, 1)
      reject(unavailable(`no free connection within ${settings.acquireDeadline} ms`))
    }, settings.acquireDeadline)
    return promise.finally(() => clearTimeout(timer))
  }

  return {
    options: {},
    connect: async () => {
      if (ended) throw unavailable('it was closed')
      return clientOf(free() ?? (await wait()), settings.queryDeadline, giveBack)
    },
    end: async () => {
      ended = true
      for (const waiter of waiting.splice(0)) waiter.drop(unavailable('it was closed'))
      await Promise.all([...all].map(async (session) => session.sql.end({ timeout: 5 })))
    },
  }
}
