/**
 * Every fault of the proxy, alone and with the others, while backups of changing files run: all of them complete, and each
 * gives back what was there. A store that refuses or hangs for good: a clear error, in time.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { MINUTE, SECOND } from '#shared/units.ts'
import { type FaultRule, HTTP_FAULTS, SOCKET_FAULTS } from '../support/fault-plan.ts'
import { runOpen } from '../support/run-open.ts'
import { differences, type Fact, snapshot } from '../support/same-tree.ts'
import type { Seeded } from '../support/seeded.ts'
import type { CaseResult, Chosen, SoakCheck } from './check.ts'
import { type FaultsWorld, type Guarded, HASTE, startFaultsWorld } from './faults-world.ts'

/** What a fault costs that keeps a connection until somebody has waited in vain, against the others. */
const COSTLY: ReadonlySet<string> = new Set(['socket-hang', 'socket-drop'])
const rule = (fault: FaultRule['fault'], share: number): FaultRule => ({
  fault,
  share: COSTLY.has(fault) ? share / 4 : share,
})

type Rules = (share: number) => readonly FaultRule[]

const allOf =
  (faults: readonly FaultRule['fault'][]): Rules =>
  (share) =>
    faults.map((fault) => rule(fault, share))

/** One of all faults, at this share of the requests. */
const oneOf =
  (faults: readonly FaultRule['fault'][]): Rules =>
  (share) =>
    faults.map((fault, i) => rule(fault, share / (faults.length - i * share)))

/** What is to be survived, by name; a store's and a connection's faults do not mix in one proxy. */
const SURVIVED: Readonly<Record<string, Rules>> = {
  ...Object.fromEntries(HTTP_FAULTS.map((fault) => [fault, allOf([fault])])),
  ...Object.fromEntries(SOCKET_FAULTS.map((fault) => [fault, allOf([fault])])),
  'store-mixed': oneOf(HTTP_FAULTS),
  'store-all': allOf(HTTP_FAULTS),
  'line-all': oneOf(SOCKET_FAULTS),
  everything: (share) => [...oneOf(HTTP_FAULTS)(share), ...oneOf(SOCKET_FAULTS)(share)],
}

/** What is not, with what the error must say. */
const FINAL: Readonly<Record<string, { readonly rule: FaultRule; readonly words: RegExp }>> = {
  'for-good-forbidden': { rule: { fault: 'forbidden', share: 1 }, words: /403 AccessDenied/ },
  'for-good-hang': { rule: { fault: 'hang', share: 1 }, words: /nothing moved|within|timed out/ },
  'for-good-500': { rule: { fault: 'error-500', share: 1 }, words: /500/ },
  'for-good-cut': { rule: { fault: 'cut', share: 1 }, words: /ECONNRESET|hang up/ },
}

const NAMES = [...Object.keys(SURVIVED), ...Object.keys(FINAL)]

/** From the first refusal to the end of the backup: the agent's patience, one upload that hangs, and the way of the news. */
const IN_TIME = (HASTE + 12) * SECOND

type Data = Record<string, unknown>

type Done = {
  readonly status: string
  readonly problem: string
  readonly wrong: readonly string[]
}

const restored = async (
  { instance, bucket }: FaultsWorld,
  [folder, backup]: readonly [string, Data],
  { facts, of }: { readonly facts: ReadonlyMap<string, Fact>; readonly of: Guarded },
): Promise<readonly string[]> => {
  const target = join(folder, 'restored')
  try {
    const names = ['--vault', String(backup['vault_id']), '--backup', String(backup['id'])]
    const which = ['--identity', instance.kit, ...names, '--json']
    const { exit, out } = await runOpen([bucket, ...which, 'restore', target])
    if (exit !== 0) return [`it is not restored: exit code ${exit}: ${out.slice(-300)}`]
    return differences(facts, snapshot(join(target, of.source.folder))).slice(0, 5)
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

const problemIn = (backup: Data): string => {
  const error = backup['error'] as Data | null
  return error === null ? '' : `${String(error['code'])}: ${String(error['message'])}`
}

/** One backup; restored and compared when it is one. */
const backUp = async (world: FaultsWorld, folder: string, of: Guarded): Promise<Done> => {
  const facts = snapshot(of.source.folder)
  const backup = await world.instance.backup(of.agent.jobId)
  const status = String(backup['status'])
  if (status !== 'completed') return { status, problem: problemIn(backup), wrong: [] }
  return { status, problem: '', wrong: await restored(world, [folder, backup], { facts, of }) }
}

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0)

const isOfLine = ({ fault }: FaultRule): boolean => fault.startsWith('socket-')

const harm = (world: FaultsWorld, rules: readonly FaultRule[]): void => {
  for (const proxy of [world.store, world.line]) {
    const isLine = proxy === world.line
    proxy.plan.set(rules.filter((one) => isOfLine(one) === isLine))
    if (rules.length > 0) proxy.plan.reset()
  }
}

const injected = ({ store, line }: FaultsWorld): number =>
  total(store.plan.counts()) + total(line.plan.counts())

/** Requests to the store, messages of the line: of those that could have been harmed. */
const asked = ({ store, line }: FaultsWorld, rules: readonly FaultRule[]): number =>
  (rules.some(isOfLine) ? line.plan.seen() : 0) + (rules.every(isOfLine) ? 0 : store.plan.seen())

type Scene = {
  readonly world: FaultsWorld
  readonly folder: string
  readonly share: number
  /** Of one case: the first with much that is new. */
  readonly backups: number
}

const survive = async (
  { world, folder, share, backups }: Scene,
  kind: string,
  dice: Seeded,
): Promise<CaseResult> => {
  const { source } = world.patient
  const began = performance.now()
  const done: Done[] = []
  const rules = SURVIVED[kind]?.(share) ?? []
  harm(world, rules)
  try {
    for (let i = 0; i < backups; i += 1) {
      if (i === 0) source.change(dice)
      else source.touch(dice)
      done.push(await backUp(world, folder, world.patient))
    }
  } finally {
    harm(world, [])
  }
  const wrong = done.flatMap((one) => one.wrong)
  const failed = done.filter(({ status }) => status !== 'completed')
  return {
    kind,
    violations: [...failed.map(({ status, problem }) => `${status}: ${problem}`), ...wrong],
    facts: {
      injected: injected(world),
      requests: asked(world, rules),
      backups: done.length,
      completed: done.length - failed.length,
      wrong: wrong.length,
      seconds: Math.round((performance.now() - began) / SECOND),
    },
  }
}

const giveUp = async (
  { world, folder }: Scene,
  kind: string,
  dice: Seeded,
): Promise<CaseResult> => {
  const final = FINAL[kind]
  if (final === undefined) throw new RangeError(`there is no fault ${kind}`)
  const { source } = world.hasty
  source.change(dice)
  const began = performance.now()
  harm(world, [final.rule])
  const first = await backUp(world, folder, world.hasty)
  const took = performance.now() - began
  const count = injected(world)
  harm(world, [])
  world.store.cut()
  const second = await backUp(world, folder, world.hasty)
  const violations = [
    ...(first.status === 'failed' ? [] : [`it ended as ${first.status}`]),
    ...(final.words.test(first.problem) ? [] : [`the error does not say why: ${first.problem}`]),
    ...(took <= IN_TIME ? [] : [`it took ${Math.round(took)} ms, of ${IN_TIME}`]),
    ...(second.status === 'completed' ? [] : [`afterwards: ${second.status}: ${second.problem}`]),
    ...second.wrong,
  ]
  const seconds = Math.round(took / SECOND)
  return { kind, violations, facts: { injected: count, seconds, said: first.problem } }
}

const kindsOf = (chosen: Chosen): readonly string[] => {
  const { faults = 'all' } = chosen
  const kinds = faults === 'all' ? NAMES : faults.split(',')
  const unknown = kinds.find((kind) => !NAMES.includes(kind))
  if (unknown !== undefined)
    throw new RangeError(`there is no fault ${unknown}; there are ${NAMES.join(', ')}`)
  return kinds
}

const shareOf = ({ share = '' }: Chosen): number => {
  const value = Number(share)
  if (!(value > 0 && value <= 1)) throw new RangeError('--share is above 0 and at most 1')
  return value
}

export const check: SoakCheck = {
  about: 'Backs up through proxies that harm a share of all requests, and restores every backup.',
  deadline: 20 * MINUTE,
  options: { faults: 'all', share: '0.1', rounds: '1', backups: '3', large: '8' },
  count: (chosen) => {
    shareOf(chosen)
    return kindsOf(chosen).length * Number(chosen['rounds'])
  },
  round: async (_index, chance, folder, chosen) => {
    const kinds = kindsOf(chosen)
    const world = await startFaultsWorld(folder, chance, Number(chosen['large']))
    const backups = Number(chosen['backups'])
    const scene = { world, folder, share: shareOf(chosen), backups }
    return {
      cases: kinds.length,
      run: async (i, dice) => {
        const kind = kinds[i] ?? ''
        return kind in FINAL ? giveUp(scene, kind, dice) : survive(scene, kind, dice)
      },
      close: async () => world.close(),
    }
  },
}
