/** Extended attributes as the system has them ⇄ as an entry has them: access lists as text, and apart. FORMAT.md, "Entries". */
import { aclBytes, aclText } from '#shared/format/acl.ts'
import type { Attribute, Entry } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'

export const ACCESS = 'system.posix_acl_access'
export const DEFAULT = 'system.posix_acl_default'

const NAMES: ReadonlySet<Bytes> = new Set([
  ACCESS,
  DEFAULT,
  'security.capability',
  'security.selinux',
])

/**
 * What belongs to the data, or to whoever may use it. What the kernel makes by itself for one machine (security.ima,
 * security.evm, system.nfs4_acl, …) does not. Only root can see trusted.*.
 */
export const isKept = (name: Bytes): boolean =>
  NAMES.has(name) || name.startsWith('user.') || name.startsWith('trusted.')

type Described = Pick<Entry, 'xattrs' | 'acl'>

const NOTHING: Described = {}

/** A list that is not one of POSIX.1e stays what it is: bytes. */
const textOf = (value: Bytes): string | null => aclText(Buffer.from(value, 'latin1'))

export const describeAttributes = (raw: readonly Attribute[]): Described => {
  if (raw.length === 0) return NOTHING
  const texts = new Map<Bytes, string>()
  const xattrs = raw.filter(([name, value]) => {
    const text = name === ACCESS || name === DEFAULT ? textOf(value) : null
    if (text !== null) texts.set(name, text)
    return text === null
  })
  const access = texts.get(ACCESS)
  const inherited = texts.get(DEFAULT)
  return {
    ...(xattrs.length === 0 ? {} : { xattrs }),
    ...(texts.size === 0
      ? {}
      : {
          acl: {
            ...(access === undefined ? {} : { access }),
            ...(inherited === undefined ? {} : { default: inherited }),
          },
        }),
  }
}

const NONE: readonly Attribute[] = []

/** A text that is no list comes out as a value that the system refuses, and is counted as such. */
const listed = (name: Bytes, text: string | undefined): readonly Attribute[] =>
  text === undefined
    ? NONE
    : [[name, Buffer.from(aclBytes(text) ?? new Uint8Array()).toString('latin1')]]

/** What is to be set, as the system takes it. */
export const attributesToSet = ({ xattrs, acl }: Entry): readonly Attribute[] => {
  if (xattrs === undefined && acl === undefined) return NONE
  return [
    ...(xattrs ?? NONE).filter(([name]) => isKept(name)),
    ...listed(ACCESS, acl?.access),
    ...listed(DEFAULT, acl?.default),
  ]
}

/** The kinds by which people hear of what was not set. */
export const kindOfAttribute = (name: Bytes): string => {
  if (name === ACCESS || name === DEFAULT) return 'access lists'
  return NAMES.has(name) ? name : `${name.slice(0, name.indexOf('.'))}.*`
}
