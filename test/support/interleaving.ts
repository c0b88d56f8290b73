/**
 * Runs programs on one PostgreSQL in every order that their statements can be executed in. Each statement waits until the explorer
 * lets it go; one that then waits for a lock is left waiting while others go on. Orders that lead to a state that was
 * seen already (what every program was answered so far, what is committed, who waits) are followed no further, and of two
 * neighbours that commute only one order is (sleep sets, Godefroid 1996).
 */
import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  sql,
} from 'kysely'
import type { Schema } from '#server/io/db/schema.ts'

/** A program under the explorer; `db` is its own. */
export type Actor = { readonly name: string; run(db: Kysely<Schema>): Promise<unknown> }

/** One world, made anew for each order. */
export type Scene = {
  readonly actors: readonly Actor[]
  /** What is committed, in words that are the same in every world. */
  committed(): Promise<string>
  /** Ids that differ from world to world. */
  readonly ids: readonly string[]
  /** What is wrong when all have ended. */
  check(outcomes: ReadonlyMap<string, Outcome>): Promise<readonly string[]>
}

export type Outcome = { readonly value: unknown } | { readonly error: string }

export type Exploration = {
  readonly orders: number
  readonly states: number
  /** Choices at a state that were not followed: others led there, or lead to the same. */
  readonly pruned: number
  readonly waits: number
  readonly seconds: number
  /** With the order that led there. */
  readonly violations: readonly string[]
}

type Gate = { readonly text: string; go(): void } | null

type Running = {
  readonly name: string
  /** At the next statement. */
  gate: Gate
  /** Of the connection that it holds. */
  pid: number
  readonly heard: string[]
  /** Nothing is to be learnt any more: its statements wait for nobody. */
  isFree: boolean
  inTransaction: boolean
  outcome: Outcome | null
  moved: PromiseWithResolvers<void>
}

const POLL = 200_000

/** Statements that only this program's own rows are touched by, or nobody else reads: no point where others can come between. */
export type Options = {
  readonly isPrivate: (text: string) => boolean
  /** Spoils statements, to see that it is noticed. */
  readonly spoil?: (text: string) => string
  /** So many violations are enough. */
  readonly most?: number
  /** After each order: how many there were, and how many are known that are not followed yet. */
  readonly tell?: (orders: number, open: number) => void
  /** Orders that begin like this come first, so that what is known to go wrong there is soon seen. */
  readonly first?: readonly string[]
}

const movedOn = (running: Running): void => {
  const { resolve } = running.moved
  running.moved = Promise.withResolvers()
  resolve()
}

const digest = (text: string): string => createHash('sha256').update(text).digest('base64')

const isEnd = (text: string): boolean => text === 'commit' || text === 'rollback'

/** Takes no lock and changes nothing. */
const isRead = (text: string): boolean =>
  /^\s*select\b/.test(text) && !/\bfor (no key )?(update|share)\b|\bfor key share\b/.test(text)

/** What nobody else sees before the transaction ends. */
const isHidden = ({ gate, inTransaction }: Running): boolean =>
  gate !== null && (isRead(gate.text) || (inTransaction && !isEnd(gate.text)))

/**
 * Whichever goes first, both end in the same state: one reads, and the other does nothing that is seen before its
 * transaction ends (READ COMMITTED). Locks are taken by neither, or by one only.
 */
const commute = (a: Running, b: Running): boolean =>
  a.gate !== null &&
  b.gate !== null &&
  ((isRead(a.gate.text) && isHidden(b)) || (isRead(b.gate.text) && isHidden(a)))

/** A connection of `base` whose statements wait at the gate of `running`. */
const gated = (
  base: Kysely<Schema>,
  running: Running,
  { isPrivate, spoil }: Options,
  nameless: (text: string) => string,
): Driver => {
  const release = new WeakMap<DatabaseConnection, () => void>()
  const execute = async <R>(
    held: Kysely<Schema>,
    query: CompiledQuery,
  ): Promise<QueryResult<R>> => {
    if (query.sql !== 'begin' && !isPrivate(query.sql) && !running.isFree) {
      const { promise, resolve } = Promise.withResolvers<undefined>()
      running.gate = {
        text: query.sql,
        go: () => {
          running.gate = null
          resolve(undefined)
        },
      }
      movedOn(running)
      await promise
    }
    if (query.sql === 'begin') running.inTransaction = true
    if (isEnd(query.sql)) running.inTransaction = false
    const text = spoil === undefined ? query.sql : spoil(query.sql)
    const result = await held.executeQuery<R>({ ...query, sql: text })
    running.heard.push(nameless(JSON.stringify([result.rows, Number(result.numAffectedRows ?? 0)])))
    return result
  }
  const own = (text: string) => async (connection: DatabaseConnection) => {
    await connection.executeQuery(CompiledQuery.raw(text))
  }
  return {
    init: async () => Promise.resolve(),
    destroy: async () => Promise.resolve(),
    acquireConnection: async () => {
      const got = Promise.withResolvers<DatabaseConnection>()
      const over = Promise.withResolvers<undefined>()
      const using = base.connection().execute(async (held) => {
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(held)
        running.pid = rows[0]?.pid ?? 0
        const connection: DatabaseConnection = {
          executeQuery: async (query) => execute(held, query),
          streamQuery: () => {
            throw new Error('statements are not streamed')
          },
        }
        release.set(connection, () => over.resolve(undefined))
        got.resolve(connection)
        await over.promise
      })
      using.catch((error: unknown) => got.reject(error))
      return got.promise
    },
    beginTransaction: own('begin'),
    commitTransaction: own('commit'),
    rollbackTransaction: own('rollback'),
    releaseConnection: async (connection) => {
      release.get(connection)?.()
      return Promise.resolve()
    },
  }
}

const begin = (base: Kysely<Schema>, scene: Scene, actor: Actor, options: Options): Running => {
  const running: Running = {
    name: actor.name,
    gate: null,
    pid: 0,
    heard: [],
    isFree: false,
    inTransaction: false,
    outcome: null,
    moved: Promise.withResolvers(),
  }
  const nameless = (text: string): string =>
    scene.ids.reduce((all, id, at) => all.replaceAll(id, `id ${at}`), text)
  const db = new Kysely<Schema>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => gated(base, running, options, nameless),
      createIntrospector: (on) => new PostgresIntrospector(on),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  })
  const ended = (outcome: Outcome): void => {
    running.outcome = outcome
    movedOn(running)
  }
  actor.run(db).then(
    (value) => ended({ value }),
    (error: unknown) => ended({ error: error instanceof Error ? error.message : String(error) }),
  )
  return running
}

const isAtRest = ({ gate, outcome }: Running): boolean => gate !== null || outcome !== null

/** As the lock manager sees it: what a session says of itself is late. */
const waitingForLocks = async (base: Kysely<Schema>, all: readonly Running[]): Promise<boolean> => {
  const pids = all.map(({ pid }) => pid)
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from unnest(${pids}::int[]) as p(pid)
    where cardinality(pg_blocking_pids(p.pid)) > 0`.execute(base)
  return rows[0]?.count === all.length
}

/** Until every program stands at its gate, has ended, or waits for a lock. Answers how many wait. */
const settle = async (base: Kysely<Schema>, all: readonly Running[]): Promise<number> => {
  for (let looks = 0; looks < POLL; looks += 1) {
    const moving = all.filter((one) => !isAtRest(one))
    if (moving.length === 0) return 0
    const moved = Promise.race(moving.map(async ({ moved: { promise } }) => promise))
    // Nearly every statement ends within this time; only then is it worth asking.
    const isSoon = await Promise.race([moved.then(() => true), pause(2)])
    const isStill = isSoon === true ? false : await waitingForLocks(base, moving)
    if (isStill && moving.every((one) => !isAtRest(one))) return moving.length
  }
  throw new Error('a statement neither ended nor waited for a lock')
}

/** Those that need not go first at a state: whoever went before them there did the same in the other order. */
type Sleeping = ReadonlySet<string>

/** An order that is to be followed, and who sleeps after it. */
type Open = { readonly order: readonly string[]; readonly sleeping: Sleeping }

type Tree = {
  /** By state, those that slept whenever it was met: they were never followed from there. */
  readonly seen: Map<string, Sleeping>
  readonly open: Open[]
  orders: number
  waits: number
  pruned: number
  readonly violations: string[]
}

const stateOf = async (scene: Scene, all: readonly Running[]): Promise<string> =>
  digest(
    JSON.stringify([
      all.map(({ heard, gate, outcome }) => [heard, gate !== null, outcome !== null]),
      await scene.committed(),
    ]),
  )

/** Nothing is learnt of the rest of this order: it leads to where another one was. */
const letGo = async (all: readonly Running[]): Promise<void> => {
  for (const one of all) {
    one.isFree = true
    one.gate?.go()
  }
  for (const one of all) while (one.outcome === null) await one.moved.promise
}

/** Who stays asleep when `goes` has gone. */
const stillAsleep = (sleeping: Iterable<Running>, goes: Running, isWaited: boolean): Set<string> =>
  new Set(isWaited ? [] : [...sleeping].filter((one) => commute(one, goes)).map(({ name }) => name))

type Standing = {
  readonly ready: readonly Running[]
  readonly order: readonly string[]
  readonly sleeping: Sleeping
  readonly isWaited: boolean
}

/** Who goes on from a state; the others that are worth it are left for later. Null: nobody need go. */
const branch = (tree: Tree, state: string, standing: Standing): Running | null => {
  const { ready, order, sleeping, isWaited } = standing
  const before = tree.seen.get(state)
  const asleep = new Set([...sleeping].filter((name) => before?.has(name) ?? true))
  tree.seen.set(state, asleep)
  const wanted = ready.filter(
    ({ name }) => !sleeping.has(name) && (before === undefined || before.has(name)),
  )
  tree.pruned += ready.length - wanted.length
  const done = ready.filter((one) => !wanted.includes(one))
  for (const [place, one] of wanted.entries()) {
    if (place === 0) continue
    const others = [...done, ...wanted.slice(0, place)]
    tree.open.push({
      order: [...order, one.name],
      sleeping: stillAsleep(others, one, isWaited),
    })
  }
  return wanted[0] ?? null
}

/** One order to its end, or to a state from which everything is known: first as it is given, then always the first that can go. */
const follow = async (
  [base, options]: readonly [Kysely<Schema>, Options],
  [scene, tree]: readonly [Scene, Tree],
  given: Open,
): Promise<void> => {
  const prefix = [...given.order]
  let sleeping: Sleeping = new Set()
  const all = scene.actors.map((actor) => begin(base, scene, actor, options))
  const order: string[] = []
  for (;;) {
    const waiting = await settle(base, all)
    tree.waits += waiting > 0 ? 1 : 0
    const ready = all.filter(({ gate }) => gate !== null)
    if (ready.length === 0) {
      if (waiting > 0) throw new Error(`all wait for each other after ${order.join(' ')}`)
      break
    }
    const wanted = prefix[order.length]
    let goes = ready.find(({ name }) => name === wanted) ?? null
    // Of several that wait for one lock the database chooses who gets it, and it may choose another one than before.
    if (wanted !== undefined && goes === null) prefix.length = 0
    if (goes === null) {
      const standing = { ready, order, sleeping, isWaited: waiting > 0 }
      goes = branch(tree, await stateOf(scene, all), standing)
      if (goes === null) {
        await letGo(all)
        tree.orders += 1
        return
      }
      const { name } = goes
      const asleep = ready.filter((one) => sleeping.has(one.name) && one.name !== name)
      sleeping = stillAsleep(asleep, goes, waiting > 0)
    }
    order.push(goes.name)
    if (order.length === given.order.length && prefix.length > 0) sleeping = given.sleeping
    goes.gate?.go()
  }
  const outcomes = new Map(all.map(({ name, outcome }) => [name, outcome ?? { value: null }]))
  for (const problem of await scene.check(outcomes))
    tree.violations.push(`${problem} (${order.join(' ')})`)
  tree.orders += 1
}

export const explore = async (
  base: Kysely<Schema>,
  make: () => Promise<Scene>,
  options: Options,
): Promise<Exploration> => {
  const nobody: Sleeping = new Set()
  const tree: Tree = {
    seen: new Map(),
    open: [
      { order: [], sleeping: nobody },
      { order: options.first ?? [], sleeping: nobody },
    ],
    orders: 0,
    waits: 0,
    pruned: 0,
    violations: [],
  }
  const begun = performance.now()
  for (let next = tree.open.pop(); next !== undefined; next = tree.open.pop()) {
    await follow([base, options], [await make(), tree], next)
    if (tree.violations.length >= (options.most ?? 1)) break
    options.tell?.(tree.orders, tree.open.length)
  }
  const { orders, waits, pruned, violations } = tree
  const seconds = Math.round((performance.now() - begun) / 1000)
  return { orders, states: tree.seen.size, pruned, waits, seconds, violations }
}
