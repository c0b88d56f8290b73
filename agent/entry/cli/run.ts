/** `holdfast-agent run`: stays connected and obeys, until it is told to stop. */
import { fail, problemOf } from '#shared/errors.ts'
import type { RecordHost } from '#shared/format/record.ts'
import { makeId } from '#shared/ids.ts'
import type { Facts } from '#shared/protocol/hello.ts'
import type { Orders } from '#shared/protocol/orders.ts'
import { UNLIMITED } from '#shared/limits.ts'
import { SECOND } from '#shared/units.ts'
import { connection, keysOf } from '../../core/greeting.ts'
import type { Patience } from '../../core/patience.ts'
import { proofOf } from '../../core/prove.ts'
import { pinnedFor, type Identity } from '../../core/state.ts'
import { runBackup, type BackupParts } from '../../flow/backup.ts'
import { copyIn, refuseCopy } from '../../flow/copied.ts'
import { loadIdentity, saveIdentity } from '../../flow/enroll.ts'
import type { Guard } from '../../flow/guard.ts'
import { createObey, type Obey } from '../../flow/obey.ts'
import { type RestoreRunParts, runRestore } from '../../flow/restore-run.ts'
import { targetProblem } from '../../flow/restore-wish.ts'
import { throttledReads, type Throttling } from '../../flow/throttle.ts'
import { ownGenesis } from '../../flow/vault.ts'
import type { Dial, FileSystem, Sealers, StateFolder, Upload, World } from '../../ports.ts'
import type { OwnPriority } from '../../ports/priority.ts'
import type { ServeStatus } from '../../ports/status.ts'
import type { StatusNow } from '../../core/status.ts'
import { createLink, type Link } from '../link.ts'
import { restoreLink, runLink } from '../run-link.ts'
import { createWatch, type Watch } from '../watch.ts'
import { readFlags } from './flags.ts'

const USAGE = 'holdfast-agent run [--state FOLDER] [--policy FILE]'

export type Places = { readonly state: string; readonly policy: string }

/** Where the agent's own files and its policy are: as the flags say, else as `usual`. */
export const placesFrom = (args: readonly string[], usual: Places): Places => {
  const flags = readFlags(args, ['state', 'policy'], USAGE)
  return { state: flags.one('state') ?? usual.state, policy: flags.one('policy') ?? usual.policy }
}

export type RunParts = {
  readonly state: StateFolder
  readonly folder: string
  readonly world: World
  readonly facts: Facts
  readonly dial: Dial
  readonly patience: Patience
  readonly upload: Upload
  readonly sealers: Sealers
  /** A view of the files with its own memory of users and groups, for one run. */
  fs(): FileSystem
  readonly restoring: Pick<RestoreRunParts, 'readOnce' | 'place' | 'extractors'>
  /** What the local policy has against an order. */
  readonly guard: Guard
  readonly throttling: Pick<Throttling, 'set' | 'download'>
  readonly priority: OwnPriority
  readonly pid: number
  readonly serveStatus: ServeStatus
}

/** Runs get this long to say how they ended, when the agent stops. */
const FAREWELL = 5 * SECOND

type Self = {
  identity: Identity
  readonly server: string
  readonly organizationKey: string
  /** Of backups; whoever restores is in a hurry. */
  priority: 'low' | 'normal'
}

const selfOf = ({ state, folder }: RunParts): Self => {
  const identity = loadIdentity(state)
  if (identity?.server === undefined || identity.server === null || identity.organization === null)
    throw fail('NOT_ENROLLED', { state: folder })
  refuseCopy(identity)
  return {
    identity,
    server: identity.server,
    organizationKey: identity.organization.signing_key,
    priority: 'low',
  }
}

const linkOf = (parts: RunParts, self: Self): Link => {
  const { state, world, facts, dial } = parts
  const keys = keysOf(self.identity)
  const remember = (changes: Partial<Identity>): void => {
    self.identity = { ...self.identity, ...changes }
    saveIdentity(state, self.identity)
  }
  return createLink({
    dial,
    url: self.identity.url,
    world,
    patience: parts.patience,
    introduce: (challenge) => {
      // On disk before it is sent: a copy of this state would come with a number that was seen (PROTOCOL.md, "connect").
      remember({ joins: self.identity.joins + 1 })
      const id = makeId(world.clock.now(), world.random(10))
      const { joins } = self.identity
      return connection(keys, { server: self.server, joins }, { id, facts, challenge })
    },
    welcome: ({ catalog_epoch, server_name }) => {
      if (catalog_epoch < self.identity.catalog_epoch)
        throw fail('PROTOCOL_VIOLATION', { problem: 'the catalog is older than one seen before' })
      if (catalog_epoch > self.identity.catalog_epoch) remember({ catalog_epoch })
      if (server_name !== undefined && server_name !== self.identity.server_name)
        remember({ server_name })
    },
  })
}

/** Answers what a key holder must see; what is not for an agent to sign stays without an answer. */
const proving =
  ({ world }: RunParts, self: Self, link: Link) =>
  (order: Orders['open.prove']): void => {
    const { request, backup } = order
    const signature = proofOf(order, keysOf(self.identity))
    if (signature === null) {
      world.log.warn({ request, purpose: order.purpose }, 'this is not for an agent to sign')
      return
    }
    world.log.info({ request, backup }, 'signed that packs are to be opened for this agent')
    link.tell((id) => ({ type: 'open.proof', id, request, signature }), 'always')
  }

const hostOf = ({ hostname, os, kernel, arch, agent_version }: Facts): RecordHost => ({
  hostname,
  os,
  kernel,
  arch,
  agent: agent_version,
})

const obeyOf = (parts: RunParts, self: Self, link: Link, { hear }: Watch): Obey => {
  const { state, world, sealers, upload, facts } = parts
  const { signer } = keysOf(self.identity)
  const host = hostOf(facts)
  const obey: Obey = createObey({
    log: world.log,
    linkFor: (run) => runLink(link, run, () => obey.epochOf(run), hear),
    restoreLinkFor: (run) => restoreLink(link, run, () => obey.epochOf(run), hear),
    drained: link.drained,
    prove: proving(parts, self, link),
    keep: ({ limits, priority }) => {
      parts.throttling.set(limits ?? UNLIMITED, parts.guard.ceiling())
      self.priority = priority ?? 'low'
    },
    barred: ({ target }) =>
      targetProblem(target) ?? (target === '' ? null : parts.guard.restore(target)),
    restore: async (ordered, stop) => {
      const restoring: RestoreRunParts = {
        world,
        state,
        patience: parts.patience,
        ...parts.restoring,
        ...throttledReads(parts.restoring, parts.throttling.download, stop),
        boxSecret: keysOf(self.identity).boxSecret,
        genesisOf: (vault) => ownGenesis(state, vault),
        barred: parts.guard.restore,
      }
      await runRestore(restoring, ordered, stop)
    },
    pinned: (vault) => pinnedFor(self.identity, vault),
    beyond: parts.guard.backup,
    backup: async (order, ofRun, stop, brake) => {
      const { organizationKey } = self
      const backup: BackupParts = {
        fs: parts.fs(),
        state,
        world,
        sealers,
        upload,
        patience: parts.patience,
        signer,
        organizationKey,
        host,
        brake,
      }
      const release = self.priority === 'low' ? parts.priority.lower() : null
      try {
        await runBackup(backup, order, ofRun, stop)
      } finally {
        release?.()
      }
    },
  })
  return obey
}

/** An agent that cannot say how it is backs up all the same. */
const serveStatus = async (
  { world, facts, pid, serveStatus: serve }: RunParts,
  link: Link,
  { runs }: Watch,
): Promise<{ close(): Promise<void> } | null> => {
  const started = world.clock.now()
  const look = (): StatusNow => ({
    version: 1,
    pid,
    started,
    agent: facts.agent_version,
    connection: link.presence(),
    runs: [...runs()],
  })
  try {
    return await serve(() => JSON.stringify(look()))
  } catch (error) {
    world.log.warn({ problem: problemOf(error) }, 'the status cannot be asked for')
    return null
  }
}

/** Ends when `stop` fires, after its runs have ended and said so; or throws what makes further tries pointless. */
export const runAgent = async (parts: RunParts, stop: AbortSignal): Promise<void> => {
  const self = selfOf(parts)
  const { clock } = parts.world
  const link = linkOf(parts, self)
  const watch = createWatch(parts)
  const obey = obeyOf(parts, self, link, watch)
  const serving = await serveStatus(parts, link, watch)
  const hangUp = new AbortController()
  const farewell = async (): Promise<void> => {
    await Promise.race([obey.stop(), clock.sleep(FAREWELL, hangUp.signal).catch(() => undefined)])
    hangUp.abort()
  }
  const leave = (): void => {
    void farewell()
  }
  stop.addEventListener('abort', leave, { once: true })
  try {
    await link.run(watch.over(obey), hangUp.signal)
  } catch (error) {
    const copy = copyIn(error)
    if (copy !== null) saveIdentity(parts.state, { ...self.identity, ...copy })
    throw error
  } finally {
    stop.removeEventListener('abort', leave)
    hangUp.abort()
    await obey.stop()
    await serving?.close()
  }
}
