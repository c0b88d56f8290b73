/** Where the API is reached. */
import { fail, problemOf } from '#shared/errors.ts'
import type { App } from './app.ts'

export type PortWish = {
  readonly host: string
  readonly port: number
  /** Asked for by a person: this one or none. Else one of the next, or any that is free. */
  readonly asked: boolean
}

const NEXT = 20

const isTaken = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'

const portOf = (app: App): number => {
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening on TCP')
  return address.port
}

/** The port. Throws `CONFLICT` where a port that was asked for is taken, or the address is not ours. */
export const listenOn = async (app: App, wish: PortWish): Promise<number> => {
  const others = wish.asked ? [] : Array.from({ length: NEXT }, (_, n) => wish.port + n + 1)
  const tries = [wish.port, ...others.filter((port) => port < 65_536), ...(wish.asked ? [] : [0])]
  for (const port of tries) {
    try {
      await app.listen({ host: wish.host, port })
      return portOf(app)
    } catch (error) {
      if (isTaken(error) && port !== tries.at(-1)) continue
      throw fail(
        'CONFLICT',
        { problem: `Cannot listen on ${wish.host}:${port}: ${problemOf(error)}`, port },
        { cause: error },
      )
    }
  }
  throw new Error('no port was tried')
}
