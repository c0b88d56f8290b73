/** The link as one run sees it: adds message id, run and the epoch of the moment. */
import { fail } from '#shared/errors.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Report, Reports } from '#shared/protocol/reports.ts'
import type { Answers, Body, RunLink, Told } from '../ports.ts'
import type { RestoreAnswers, RestoreLink, RestoreTold } from '../ports/restore-link.ts'
import type { Link } from './link.ts'
import type { Telling, Troubled } from './outbox.ts'

type Head = { readonly id: string; readonly run: string; readonly epoch: number }
type Stamps<T extends keyof Reports> = { readonly [K in T]: (head: Head, body: Body<K>) => Report }

const ASKS: Stamps<keyof Answers> = {
  'numbers.request': (head, body) => ({ type: 'numbers.request', ...head, ...body }),
  'grants.request': (head, body) => ({ type: 'grants.request', ...head, ...body }),
  'objects.stored': (head, body) => ({ type: 'objects.stored', ...head, ...body }),
  'vault.opened': (head, body) => ({ type: 'vault.opened', ...head, ...body }),
  'commit.page': (head, body) => ({ type: 'commit.page', ...head, ...body }),
  'commit.finish': (head, body) => ({ type: 'commit.finish', ...head, ...body }),
  'backup.ended': (head, body) => ({ type: 'backup.ended', ...head, ...body }),
}

const TELLS: Stamps<Told> = {
  'backup.accepted': (head, body) => ({ type: 'backup.accepted', ...head, ...body }),
  'backup.refused': (head, body) => ({ type: 'backup.refused', ...head, ...body }),
  progress: (head, body) => ({ type: 'progress', ...head, ...body }),
  log: (head, body) => ({ type: 'log', ...head, ...body }),
}

const RESTORE_ASKS: Stamps<keyof RestoreAnswers> = {
  'selection.request': (head, body) => ({ type: 'selection.request', ...head, ...body }),
  'packs.request': (head, body) => ({ type: 'packs.request', ...head, ...body }),
  'restore.finish': (head, body) => ({ type: 'restore.finish', ...head, ...body }),
  'restore.ended': (head, body) => ({ type: 'restore.ended', ...head, ...body }),
}

const RESTORE_TELLS: Stamps<RestoreTold> = {
  'restore.accepted': (head, body) => ({ type: 'restore.accepted', ...head, ...body }),
  'restore.refused': (head, body) => ({ type: 'restore.refused', ...head, ...body }),
  'restore.progress': (head, body) => ({ type: 'restore.progress', ...head, ...body }),
  'restore.noted': (head, body) => ({ type: 'restore.noted', ...head, ...body }),
  log: (head, body) => ({ type: 'log', ...head, ...body }),
}

const is =
  <T extends Order['type']>(...types: readonly T[]) =>
  (order: Order): order is Extract<Order, { type: T }> =>
    types.some((type) => type === order.type)

type Fits<A extends Record<string, Order>> = {
  readonly [T in keyof A]: (order: Order) => order is A[T]
}

const FITS: Fits<Answers> = {
  'numbers.request': is('numbers.given'),
  'grants.request': is('grants.given'),
  'objects.stored': is('objects.confirmed'),
  'vault.opened': is('objects.confirmed'),
  'commit.page': is('commit.taken'),
  'commit.finish': is('commit.done', 'commit.missing'),
  'backup.ended': is('backup.settled'),
}

const RESTORE_FITS: Fits<RestoreAnswers> = {
  'selection.request': is('selection.given'),
  'packs.request': is('packs.opened'),
  'restore.finish': is('restore.settled'),
  'restore.ended': is('restore.settled'),
}

const fitting = <A extends Order>(
  order: Order,
  fits: (order: Order) => order is A,
  type: string,
): A => {
  if (fits(order)) return order
  throw fail('PROTOCOL_VIOLATION', { problem: `"${order.type}" is no answer to "${type}"` })
}

const howToTell = (type: Told | RestoreTold): Telling => {
  if (type === 'progress' || type === 'restore.progress') return 'fleeting'
  return type === 'log' ? 'line' : 'always'
}

/** Of many tries in vain the log of the run gets the first, and then each tenth. */
const TOLD_EACH = 10

const troubledIn =
  (tell: (type: 'log', body: Body<'log'>) => void): Troubled =>
  (problem, attempt) => {
    if (attempt % TOLD_EACH === 1)
      tell('log', { level: 'warn', message: `${problem.message} Trying again.`.slice(0, 2000) })
  }

/** Hears what a run says, before it is said, and then each answer. */
export type Hear = (report: Report, answer: Order | null) => void

/** `epochOf` answers with the epoch that holds now; a request that is repeated goes out under the newest. */
export const runLink = (
  link: Link,
  run: string,
  epochOf: () => number,
  hear: Hear = () => undefined,
): RunLink => {
  const head = (id: string): Head => ({ id, run, epoch: epochOf() })
  const tell: RunLink['tell'] = (type, body) => {
    hear(TELLS[type](head(''), body), null)
    link.tell((id) => TELLS[type](head(id), body), howToTell(type))
  }
  const troubled = troubledIn(tell)
  return {
    request: async (type, body, stop) => {
      const report = ASKS[type](head(''), body)
      hear(report, null)
      const order = await link.request((id) => ASKS[type](head(id), body), stop, troubled)
      hear(report, order)
      return fitting(order, FITS[type], type)
    },
    tell,
  }
}

/** The same for a restore. */
export const restoreLink = (
  link: Link,
  run: string,
  epochOf: () => number,
  hear: Hear = () => undefined,
): RestoreLink => {
  const head = (id: string): Head => ({ id, run, epoch: epochOf() })
  const tell: RestoreLink['tell'] = (type, body) => {
    hear(RESTORE_TELLS[type](head(''), body), null)
    link.tell((id) => RESTORE_TELLS[type](head(id), body), howToTell(type))
  }
  const troubled = troubledIn(tell)
  return {
    request: async (type, body, stop) => {
      const report = RESTORE_ASKS[type](head(''), body)
      hear(report, null)
      const order = await link.request((id) => RESTORE_ASKS[type](head(id), body), stop, troubled)
      hear(report, order)
      return fitting(order, RESTORE_FITS[type], type)
    },
    tell,
  }
}
