/** Pack numbers, and signed permission for single objects. PROTOCOL.md, "numbers.request" and "grants.request". */
import { fail } from '#shared/errors.ts'
import { packKey, recordKey, secretKey, signerKey } from '#shared/format/layout.ts'
import type { Order, Orders } from '#shared/protocol/orders.ts'
import type { Reports, Wanted } from '#shared/protocol/reports.ts'
import { MINUTE, type Ms } from '#shared/units.ts'
import { decideGrants } from '../core/grant.ts'
import type { GrantedObject, Link, VaultStore } from '../ports.ts'
import { type AgentParts, freshId, heldScope, leaseLost } from './agent-parts.ts'

export const giveNumbers = async (
  parts: AgentParts,
  link: Link,
  report: Reports['numbers.request'],
): Promise<Order> => {
  const scope = await heldScope(parts, link, report)
  const first = await parts.objects.numbers(scope.backup, report.epoch, {
    count: report.count,
    above: report.above ?? 0,
  })
  if (first === null) throw leaseLost(report.run)
  return {
    type: 'numbers.given',
    id: freshId(parts),
    re: report.id,
    run: report.run,
    first,
    count: report.count,
  }
}

type At = { readonly startedAt: Ms; readonly records: number }

/** 128 random bits: nobody can name an object before its grant, and no key is handed out twice. */
const keyOf =
  (parts: AgentParts, run: string) =>
  (vault: string, wanted: Wanted, at: At): string => {
    const random = Buffer.from(parts.random(16)).toString('hex')
    switch (wanted.class) {
      case 'pack':
      case 'tree':
        return packKey(vault, wanted.class, wanted.no, random)
      case 'record':
        // A record's key has no random part: a run that writes another one takes the next minute.
        return recordKey(vault, at.startedAt + at.records * MINUTE, run)
      case 'signer':
        return signerKey(vault, wanted.no, random)
      case 'key':
        return secretKey(vault, wanted.no, random)
    }
  }

const signed = (
  store: VaultStore,
  object: GrantedObject,
): Orders['grants.given']['grants'][number] => {
  const { url, headers, expiresAt } = store.sign(object)
  return { no: object.no, key: object.key, url, headers: { ...headers }, expires_at: expiresAt }
}

export const giveGrants = async (
  parts: AgentParts,
  link: Link,
  report: Reports['grants.request'],
): Promise<Order> => {
  const scope = await heldScope(parts, link, report)
  // Before the objects are in the catalog: a storage that cannot be used leaves nothing behind.
  const store = await parts.stores.open(scope.storage)
  const granted = await parts.objects.grant(
    { backup: scope.backup, epoch: report.epoch, wanted: report.objects },
    decideGrants,
    keyOf(parts, report.run),
  )
  if (granted === 'lost') throw leaseLost(report.run)
  if ('problem' in granted) {
    const { class: kind, no } = report.objects[granted.refused] ?? { class: 'pack', no: 0 }
    parts.log.warn(
      { backup: scope.backup, kind, no, problem: granted.problem },
      'a grant was refused',
    )
    throw fail('GRANT_REFUSED', { what: `${kind} ${no}`, problem: granted.problem })
  }
  return {
    type: 'grants.given',
    id: freshId(parts),
    re: report.id,
    run: report.run,
    grants: granted.map((object) => signed(store, object)),
  }
}
