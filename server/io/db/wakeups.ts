/** LISTEN and NOTIFY: what makes dispatching prompt. Nothing depends on it: a sweep every few seconds finds the same. */
import { isId, parseId } from '#shared/ids.ts'
import type { Wakeups } from '../../ports.ts'
import type { RawSql } from './open.ts'

/** Payload: the id of a server that has something to do. Whoever makes a backup pending says so in the same statement. */
export const WORK = 'hf_backups'
const LINKS = 'hf_links'

export const wakeupsIn = (sql: RawSql): Wakeups => ({
  listen: async (heard) => {
    const work = await sql.listen(WORK, (server) => {
      if (isId(server)) heard.work(parseId(server, 'server'))
    })
    const links = await sql.listen(LINKS, (text) => {
      const [server = '', joins = ''] = text.split(' ')
      if (isId(server) && /^\d{1,16}$/.test(joins))
        heard.superseded(parseId(server, 'server'), Number(joins))
    })
    return {
      [Symbol.asyncDispose]: async () => {
        await Promise.all([work.unlisten(), links.unlisten()])
      },
    }
  },
  superseded: async (server, joins) => {
    await sql.notify(LINKS, `${server} ${joins}`)
  },
})
