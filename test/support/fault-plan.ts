/** Which requests and messages a fault proxy harms: by chance from a seed, by method and by path, changed while it runs. */
import type { Ms } from '#shared/units.ts'
import type { Seeded } from './seeded.ts'

/** What can be done to an HTTP request. */
export const HTTP_FAULTS = [
  /** It waits, then goes on. */
  'delay',
  /** Reset before anything is passed on. */
  'cut',
  /** Reset when half of the request's body has been passed on. */
  'cut-request',
  /** Done at the other end; the answer is reset in its middle. */
  'cut-response',
  /** The other end gets half of the body, and then the end of the stream. */
  'truncate-request',
  /** Done at the other end; half of the answer, and then the end of the stream. */
  'truncate-response',
  'error-500',
  /** 503 SlowDown, as S3 words it. */
  'slow-down',
  /** 403 AccessDenied, as S3 words it. */
  'forbidden',
  /** Nothing is read, nothing is answered. */
  'hang',
  /** Done at the other end; the answer names another ETag. */
  'wrong-etag',
  /** Done at the other end to the last; the connection is reset in place of the answer. */
  'lost-answer',
] as const
export type HttpFault = (typeof HTTP_FAULTS)[number]

/** What can be done to a message of a WebSocket, either way. */
export const SOCKET_FAULTS = [
  /** It waits, and all that follow it in its direction with it. */
  'socket-delay',
  /** The connection is reset in its place. */
  'socket-cut',
  /** The connection ends in its place, without a farewell. */
  'socket-end',
  /** From it on nothing passes, either way, on a connection that stays open. */
  'socket-hang',
  /** It is gone; those after it pass. */
  'socket-drop',
] as const
export type SocketFault = (typeof SOCKET_FAULTS)[number]

export type Fault = HttpFault | SocketFault

export type FaultRule = {
  readonly fault: Fault
  /** Share of the requests or messages that match, 0 to 1. */
  readonly share: number
  /** Of HTTP requests; all of them if left out. */
  readonly methods?: readonly string[]
  /** Of the request's path with its query, or of the WebSocket's; any if left out. */
  readonly path?: RegExp
  /** Of a WebSocket's message; any if left out. */
  readonly text?: RegExp
  /** At most so often; without end if left out. */
  readonly times?: number
}

/** `text`: of a message. */
export type Asked = { readonly method: string; readonly path: string; readonly text?: string }

export type FaultPlan = {
  /** These rules from now on, in this order: the first that strikes counts. None: everything passes. */
  set(rules: readonly FaultRule[]): void
  /** What is to be done to this request; null: nothing. */
  request(asked: Asked): HttpFault | null
  message(path: string, text: string): SocketFault | null
  /** How long a delay lasts. */
  pause(): Ms
  /** What was done, by fault, since the last `reset`. */
  counts(): Readonly<Partial<Record<Fault, number>>>
  /** Requests and messages looked at since then, harmed or not. */
  seen(): number
  reset(): void
}

export type FaultPlanOptions = {
  /** A delay lasts between none of it and all of it. */
  readonly longestPause?: Ms
}

const LONGEST_PAUSE = 1000

const isHttp = (fault: Fault): fault is HttpFault => HTTP_FAULTS.some((one) => one === fault)
const isSocket = (fault: Fault): fault is SocketFault => !isHttp(fault)

type Armed = { readonly rule: FaultRule; left: number }

const matches = ({ methods, path, text }: FaultRule, asked: Asked): boolean =>
  (methods?.includes(asked.method) ?? true) &&
  (path?.test(asked.path) ?? true) &&
  (text?.test(asked.text ?? '') ?? true)

export const createFaultPlan = (
  chance: Seeded,
  rules: readonly FaultRule[] = [],
  { longestPause = LONGEST_PAUSE }: FaultPlanOptions = {},
): FaultPlan => {
  const counts = new Map<Fault, number>()
  let armed: Armed[] = []
  let seen = 0
  const set = (next: readonly FaultRule[]): void => {
    armed = next.map((rule) => ({ rule, left: rule.times ?? Infinity }))
  }
  const choose = <F extends Fault>(is: (fault: Fault) => fault is F, asked: Asked): F | null => {
    seen += 1
    for (const one of armed) {
      const { fault, share } = one.rule
      if (!is(fault) || one.left <= 0 || !matches(one.rule, asked)) continue
      if (!chance.chance(share)) continue
      one.left -= 1
      counts.set(fault, (counts.get(fault) ?? 0) + 1)
      return fault
    }
    return null
  }
  set(rules)
  return {
    set,
    request: (asked) => choose(isHttp, asked),
    message: (path, text) => choose(isSocket, { method: 'GET', path, text }),
    pause: () => chance.below(longestPause),
    counts: () => Object.fromEntries(counts),
    seen: () => seen,
    reset: () => {
      counts.clear()
      seen = 0
    },
  }
}
