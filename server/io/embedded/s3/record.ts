import { isChecksumName, type Checksum } from './checksums.ts'

/** What is known of an object beside its bytes; metadata.ts says how it is kept. */
export type Metadata = {
  /** Without quotation marks. */
  readonly etag: string
  /** Content-Type and the like, lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** `x-amz-meta-` headers, the prefix left out. */
  readonly user: Readonly<Record<string, string>>
  readonly checksum: Checksum | null
}

const RECORD = 'holdfast-s3-1'

export const encodeRecord = (key: string, metadata: Metadata): string =>
  JSON.stringify({ record: RECORD, key, ...metadata })

/** Null for what we did not write, or did not finish. */
export const parseRecord = (text: string, key: string): Metadata | null => {
  const value = parseJson(text)
  if (!isObject(value) || value['record'] !== RECORD || value['key'] !== key) return null
  const { etag } = value
  const headers = textsOf(value['headers'])
  const user = textsOf(value['user'])
  if (typeof etag !== 'string' || headers === null || user === null) return null
  return { etag, headers, user, checksum: checksumOf(value['checksum']) }
}

/** A record torn by a power cut does not parse. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const textsOf = (value: unknown): Readonly<Record<string, string>> | null => {
  if (!isObject(value)) return null
  const texts: Record<string, string> = {}
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') return null
    texts[name] = text
  }
  return texts
}

export const checksumOf = (value: unknown): Checksum | null => {
  if (!isObject(value)) return null
  const { name, value: text, type } = value
  if (typeof name !== 'string' || !isChecksumName(name) || typeof text !== 'string') return null
  return { name, value: text, type: type === 'COMPOSITE' ? 'COMPOSITE' : 'FULL_OBJECT' }
}
