/**
 * Runs programs on one PostgreSQL in every order that their statements can be executed in. Each statement waits until the explorer
 * lets it go; one that then waits for a lock is left waiting while others go on. Orders that led to a state that was
 * seen already (what every program was answered so far, what is committed, who waits) are not followed twice.
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
  readonly waits: number
  /** With the order that led there. */
  readonly violations: readonly string[]
}

type Gate = { go(): void } | null

type Running = {
  readonly name: string
  /** At the next statement. */
  gate: Gate
  /** Of the connection that it holds. */
  pid: number
  readonly heard: string[]
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
  /** Orders that begin like this come first, so that what is known to go wrong there is soon seen. */
  readonly first?: readonly string[]
}

const movedOn = (running: Running): void => {
  const { resolve } = running.moved
  running.moved = Promise.withResolvers()
  resolve()
}

const digest = (text: string): string => createHash('sha256').update(text).digest('base64')

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
    if (query.sql !== 'begin' && !isPrivate(query.sql)) {
      const { promise, resolve } = Promise.withResolvers<undefined>()
      running.gate = {
        go: () => {
          running.gate = null
          resolve(undefined)
        },
      }
      movedOn(running)
      await promise
    }
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

type Tree = {
  readonly seen: Set<string>
  readonly open: (readonly string[])[]
  orders: number
  waits: number
  readonly violations: string[]
}

const stateOf = async (scene: Scene, all: readonly Running[]): Promise<string> =>
  digest(
    JSON.stringify([
      all.map(({ heard, gate, outcome }) => [heard, gate !== null, outcome !== null]),
      await scene.committed(),
    ]),
  )

/** One order to its end: first as `prefix` says, then always the first that can go. */
const follow = async (
  [base, options]: readonly [Kysely<Schema>, Options],
  [scene, tree]: readonly [Scene, Tree],
  given: readonly string[],
): Promise<void> => {
  const prefix = [...given]
  const all = scene.actors.map((actor) => begin(base, scene, actor, options))
  const order: string[] = []
  let isKnown = false
  for (;;) {
    const waiting = await settle(base, all)
    tree.waits += waiting > 0 ? 1 : 0
    const ready = all.filter(({ gate }) => gate !== null)
    if (ready.length === 0) {
      if (waiting > 0) throw new Error(`all wait for each other after ${order.join(' ')}`)
      break
    }
    if (order.length >= prefix.length && !isKnown) {
      const state = await stateOf(scene, all)
      isKnown = tree.seen.has(state)
      tree.seen.add(state)
      if (!isKnown) for (const other of ready.slice(1)) tree.open.push([...order, other.name])
    }
    const wanted = prefix[order.length]
    const next = wanted === undefined ? ready[0] : ready.find(({ name }) => name === wanted)
    // Of several that wait for one lock the database chooses who gets it, and it chose another one than before.
    if (next === undefined) prefix.length = 0
    const goes = next ?? ready[0]
    if (goes === undefined) break
    order.push(goes.name)
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
  const tree: Tree = {
    seen: new Set(),
    open: [[], options.first ?? []],
    orders: 0,
    waits: 0,
    violations: [],
  }
  for (let prefix = tree.open.pop(); prefix !== undefined; prefix = tree.open.pop()) {
    await follow([base, options], [await make(), tree], prefix)
    if (tree.violations.length >= (options.most ?? 1)) break
  }
  const { orders, waits, violations } = tree
  return { orders, states: tree.seen.size, waits, violations }
}
