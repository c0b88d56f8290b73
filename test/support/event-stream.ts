/** Reads a stream of server-sent events as a browser would. */
import { eventually } from './wait.ts'

export type Received = { readonly id: string; readonly event: string; readonly data: unknown }

export type EventStream = {
  readonly status: number
  readonly headers: Headers
  readonly events: readonly Received[]
  readonly comments: () => number
  /** Whether the other end has closed it. */
  readonly ended: () => boolean
  /** Until this many events are there. */
  until(count: number): Promise<readonly Received[]>
  /** Until the other end closes it. */
  end(): Promise<readonly Received[]>
  close(): void
}

const parse = (block: string): Received | null => {
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? []
    if (name !== undefined && value !== undefined) fields.set(name, value)
  }
  const data = fields.get('data')
  if (data === undefined) return null
  return {
    id: fields.get('id') ?? '',
    event: fields.get('event') ?? '',
    data: JSON.parse(data) as unknown,
  }
}

export const openEvents = async (
  url: string,
  token: string,
  lastEventId?: string,
): Promise<EventStream> => {
  const stop = new AbortController()
  const response = await fetch(url, {
    headers: {
      authorization: `Bearer ${token}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
    signal: stop.signal,
  })
  const events: Received[] = []
  let comments = 0
  let ended = false
  const read = async (): Promise<void> => {
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString('utf8')
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        if (block.startsWith(':')) comments += 1
        const event = parse(block)
        if (event !== null) events.push(event)
      }
    }
  }
  void read()
    .catch(() => undefined)
    .finally(() => {
      ended = true
    })
  return {
    status: response.status,
    headers: response.headers,
    events,
    comments: () => comments,
    ended: () => ended,
    until: async (count) =>
      eventually(`${count} events`, () => (events.length >= count ? events : null)),
    end: async () => eventually('the end of the stream', () => (ended ? events : null)),
    close: () => stop.abort(),
  }
}
