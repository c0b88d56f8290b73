import { macAtRest, openAtRest, sealAtRest } from '#shared/seal.ts'
import { type Secret, reveal, secret } from '#shared/secret.ts'
import { fail, problemOf } from '#shared/errors.ts'
import type { Random } from '#shared/world.ts'
import { createHash, timingSafeEqual } from 'node:crypto'
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'

const KEY_BYTES = 32
const NONCE_BYTES = 24
const TOKEN = /^hf_[A-Za-z0-9_-]{43}$/

const toBase64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')

/** The key in `text`: base64url of 32 bytes, padding and surrounding white space allowed. `field` is for the error. */
export const parseMasterKey = (text: string, field: string): Secret => {
  const clean = text.trim().replace(/=$/, '')
  const bytes = new Uint8Array(Buffer.from(clean, 'base64url'))
  // Only the canonical spelling: Buffer skips what it does not know.
  if (bytes.length !== KEY_BYTES || toBase64url(bytes) !== clean)
    throw fail('VALIDATION_FAILED', { field, problem: 'is not base64url of 32 bytes' })
  return secret(bytes)
}

const readKey = async (file: string): Promise<Secret | null> => {
  try {
    return parseMasterKey(await readFile(file, 'utf8'), file)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, 'r')
  await handle.sync().finally(async () => handle.close())
}

const isExisting = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'EEXIST'

/**
 * Puts a new key there, complete and on disk before its name appears, unless another process was faster: then that one
 * counts. Everything sealed is lost with this file, so it is never replaced.
 */
const createKey = async (file: string, random: Random): Promise<void> => {
  const folder = dirname(file)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const draft = `${file}.${toBase64url(random(9))}`
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(`${toBase64url(random(KEY_BYTES))}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await link(draft, file)
  } catch (error) {
    if (!isExisting(error)) throw error
  } finally {
    await unlink(draft)
  }
  await syncFolder(folder)
}

export type MasterKeySource = {
  /** HOLDFAST_MASTER_KEY; wins over the file. */
  readonly text?: string | undefined
  /** HOLDFAST_MASTER_KEY_FILE, or the place in the data folder: made when it is missing and `create` is set. */
  readonly file: string
  readonly create: boolean
}

/** The master key: 32 bytes that seal every secret in the database. `VALIDATION_FAILED` where there is none, or it is malformed. */
export const loadMasterKey = async (source: MasterKeySource, random: Random): Promise<Secret> => {
  if (source.text !== undefined) return parseMasterKey(source.text, 'HOLDFAST_MASTER_KEY')
  try {
    const found = await readKey(source.file)
    if (found !== null) return found
    if (source.create) await createKey(source.file, random)
    const made = await readKey(source.file)
    if (made !== null) return made
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    throw fail(
      'VALIDATION_FAILED',
      { field: source.file, problem: problemOf(error) },
      { cause: error },
    )
  }
  throw fail('VALIDATION_FAILED', { field: source.file, problem: 'holds no master key' })
}

export type Sealing = {
  /** `purpose` names the place, for example `storages/<id>/credentials`. */
  seal(purpose: string, plaintext: Uint8Array): Uint8Array
  /** Throws `DAMAGED` for another master key, another purpose, or changed bytes. */
  open(purpose: string, sealed: Uint8Array): Uint8Array
  /** 32 bytes that are the same for the same bytes, and that tell nobody without the key anything about them. */
  mac(purpose: string, bytes: Uint8Array): Uint8Array
}

/** Sealing under `masterKey`, with a fresh nonce each time. */
export const sealing = (masterKey: Secret, random: Random): Sealing => ({
  seal: (purpose, plaintext) =>
    sealAtRest(reveal(masterKey), purpose, plaintext, random(NONCE_BYTES)),
  open: (purpose, sealed) => openAtRest(reveal(masterKey), purpose, sealed),
  mac: (purpose, bytes) => macAtRest(reveal(masterKey), purpose, bytes),
})

/** SHA-256 of a token as it is stored; null for a text that cannot be one. No salt: a token has 256 random bits. */
export const hashToken = (token: string): Uint8Array | null =>
  TOKEN.test(token) ? new Uint8Array(createHash('sha256').update(token, 'ascii').digest()) : null

/** A new token, `hf_` and 43 base64url characters, and its hash. The token itself is shown once and not kept. */
export const makeToken = (
  random: Random,
): { readonly token: string; readonly hash: Uint8Array } => {
  const token = `hf_${toBase64url(random(KEY_BYTES))}`
  const hash = new Uint8Array(createHash('sha256').update(token, 'ascii').digest())
  return { token, hash }
}

/** Compares without telling by its time where they differ; different lengths are just different. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b)
