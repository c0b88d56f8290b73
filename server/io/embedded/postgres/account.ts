import { lstat, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { unavailable } from '../../db/errors.ts'

/** Whom the server runs as; null: as ourselves. PostgreSQL refuses to run as root. */
export type Account = { readonly uid: number; readonly gid: number } | null

// initdb wants an account that has a name. A dedicated one first: whoever else runs as it could read the data.
const PREFERRED = ['holdfast', 'postgres', 'nobody']
const NOBODY = { uid: 65534, gid: 65534 }

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

/** `{uid, gid}` of the owner of `path`, or null when it does not exist. */
const ownerOf = async (path: string): Promise<{ uid: number; gid: number } | null> => {
  try {
    return await lstat(path)
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

/** The first of PREFERRED in the text of /etc/passwd. */
export const pickAccount = (passwd: string): NonNullable<Account> => {
  const lines = passwd.split('\n').map((line) => line.split(':'))
  for (const name of PREFERRED) {
    const [, , uid = '', gid = ''] = lines.find((fields) => fields[0] === name) ?? []
    if (/^\d+$/.test(uid) && /^\d+$/.test(gid) && Number(uid) > 0)
      return { uid: Number(uid), gid: Number(gid) }
  }
  return NOBODY
}

/**
 * The owner of the data there is; else, when we are root, an ordinary account of this machine. Throws
 * `DATABASE_UNAVAILABLE` when the data is another user's and we are not root.
 */
export const chooseAccount = async (data: string): Promise<Account> => {
  const ourselves = process.getuid?.() ?? -1
  const owner = await ownerOf(data)
  if (ourselves !== 0) {
    if (owner !== null && ourselves !== -1 && owner.uid !== ourselves)
      throw unavailable(
        `${data} belongs to user ${owner.uid}, and this process is user ${ourselves}`,
      )
    return null
  }
  if (owner !== null && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  return pickAccount(await readFile('/etc/passwd', 'utf8').catch(() => ''))
}

/** Whether `account` may pass through `path` and every folder above it (by mode bits; access lists are not read). */
export const mayReach = async (path: string, account: Account): Promise<boolean> => {
  if (account === null) return true
  const { uid, gid, mode } = await stat(path)
  const bits = uid === account.uid ? mode >> 6 : gid === account.gid ? mode >> 3 : mode
  if ((bits & 1) === 0) return false
  return dirname(path) === path || mayReach(dirname(path), account)
}
