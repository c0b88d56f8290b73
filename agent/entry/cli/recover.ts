/** What `holdfast recover` starts: it has the kit, its parent the storage; they talk in lines (shared/protocol/recovery.ts). */
import { CATALOGUE, Failure, fail } from '#shared/errors.ts'
import { parseIdentityFile } from '#shared/format/keys.ts'
import { VAULTS, vaultPrefix } from '#shared/format/layout.ts'
import { kitSigningKey, parseKit, type RecoveryKit } from '#shared/format/recovery-kit.ts'
import { type FromReader, FromRecoverer, type RecoverVault } from '#shared/protocol/recovery.ts'
import { parser, type Static } from '#shared/schema.ts'
import type { Clock } from '#shared/world.ts'
import type { ObjectSource } from '../../core/restore-ports.ts'
import { recoverVault } from '../../flow/recover-vault.ts'

export type RecoverConsole = {
  /** Lines of the parent. */
  readonly lines: AsyncIterable<string>
  /** Resolves when there is room for more. */
  readonly say: (line: string) => Promise<void>
  readonly err: (text: string) => void
  readonly readText: (file: string) => Promise<string>
  readonly clock: Pick<Clock, 'now'>
}

const parseMessage = parser(FromRecoverer)

type Bytes = Extract<Static<typeof FromRecoverer>, { do: 'bytes' }>

const messageIn = (line: string): Static<typeof FromRecoverer> => {
  const parsed = parseMessage(JSON.parse(line))
  if ('ok' in parsed) return parsed.ok
  throw fail('PROTOCOL_VIOLATION', { problem: `${parsed.field} ${parsed.problem}` })
}

type Asking = {
  readonly tell: (message: FromReader) => Promise<void>
  readonly waiting: Map<number, (answer: Bytes) => void>
  no: number
}

const ask = async (
  asking: Asking,
  wanted: { readonly key: string; readonly start: number; readonly end?: number },
): Promise<Bytes> => {
  asking.no += 1
  const { no } = asking
  const { promise, resolve } = Promise.withResolvers<Bytes>()
  asking.waiting.set(no, resolve)
  await asking.tell({ do: 'read', no, ...wanted })
  return promise
}

const sourceOf = (asking: Asking, { vault, keys }: RecoverVault): ObjectSource => ({
  vaults: async () => Promise.resolve([vault]),
  list: async (prefix) =>
    Promise.resolve(
      prefix === VAULTS || prefix.startsWith(vaultPrefix(vault))
        ? keys.filter((key) => key.startsWith(prefix))
        : [],
    ),
  size: async (key) => (await ask(asking, { key, start: 0, end: 0 })).size ?? null,
  read: async (key, start, end) => {
    const { bytes, problem } = await ask(asking, { key, start, end })
    if (problem === 'missing') throw fail('MISSING_OBJECT', { key })
    if (problem === 'away')
      throw fail('STORAGE_UNAVAILABLE', { storage: '', verb: 'read', problem: 'see above' })
    const found = new Uint8Array(Buffer.from(bytes ?? '', 'base64'))
    if (found.length === end - start) return found
    throw fail('DAMAGED', { what: `The object ${key}`, problem: 'it ends too early' })
  },
  // No thread reads here: everything goes through `read`.
  whereabouts: (key) => ({ file: key }),
})

const kitMessage = (kit: RecoveryKit, recovery: string): FromReader => ({
  do: 'kit',
  organization: kit.organization,
  organization_id: kit.organizationId,
  recovery,
  signing_key: kitSigningKey(kit),
})

type Kit = { readonly kit: RecoveryKit; readonly text: string }

const perform = async (
  { readText, clock }: RecoverConsole,
  asking: Asking,
  [message, known]: readonly [Exclude<Static<typeof FromRecoverer>, Bytes>, Kit | null],
): Promise<Kit> => {
  const { tell } = asking
  if (message.do === 'begin') {
    const text = await readText(message.kit)
    const kit = parseKit(text)
    const [identity] = parseIdentityFile(kit.identity)
    await tell(kitMessage(kit, identity?.recipient.text ?? ''))
    return { kit, text }
  }
  if (known === null) throw fail('PROTOCOL_VIOLATION', { problem: 'no kit was named' })
  const source = sourceOf(asking, message)
  const identities = parseIdentityFile(known.text)
  await recoverVault({ kit: known.kit, identities, source, clock, tell }, message)
  return known
}

/** Answers the exit code. One vault after the other; answers to reads come in between. */
export const recoverCommand = async (console: RecoverConsole): Promise<number> => {
  const waiting: Asking['waiting'] = new Map()
  const asking: Asking = {
    waiting,
    no: 0,
    tell: async (message) => console.say(JSON.stringify(message)),
  }
  let kit: Promise<Kit | null> = Promise.resolve(null)
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  const read = async (): Promise<void> => {
    for await (const line of console.lines) {
      const message = messageIn(line)
      if (message.do === 'bytes') {
        waiting.get(message.re)?.(message)
        waiting.delete(message.re)
        continue
      }
      kit = kit.then(async (known) => perform(console, asking, [message, known]))
      kit.catch(failed.reject)
    }
    await kit
  }
  try {
    await Promise.race([read(), failed.promise])
    return 0
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    console.err(`${error.message}\n`)
    return CATALOGUE[error.code].exit
  }
}
