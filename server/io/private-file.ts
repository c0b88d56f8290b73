/** Small files of the data folder that only this user may read, replaced whole or not at all. */
import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fail } from '#shared/errors.ts'

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

const writeDraft = async (file: string, text: string): Promise<string> => {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return draft
}

/** Mode 0600, on disk before its name appears; what was there is replaced. */
export const writePrivate = async (file: string, text: string): Promise<void> => {
  const draft = await writeDraft(file, text)
  await rename(draft, file)
}

/** The same, but throws `CONFLICT` where the name is taken. */
export const createPrivate = async (file: string, text: string): Promise<void> => {
  const draft = await writeDraft(file, text)
  try {
    await link(draft, file)
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error
    throw fail(
      'CONFLICT',
      { problem: `${file} exists already and is not replaced`, path: file },
      { cause: error },
    )
  } finally {
    await unlink(draft)
  }
}

/** `null` when there is none. */
export const readText = async (file: string): Promise<string | null> => {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null
    throw error
  }
}

export const removeFile = async (file: string): Promise<void> => {
  try {
    await unlink(file)
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error
  }
}

/** A folder that only this user may enter, with those above it; one that is there stays as it is. */
export const makeFolder = async (folder: string): Promise<void> => {
  await mkdir(folder, { recursive: true, mode: 0o700 })
}
