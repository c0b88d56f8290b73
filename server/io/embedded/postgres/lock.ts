import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

const SQLITE_BUSY = 5

/**
 * Who owns the server in a data folder. Node has no file locks of its own; SQLite's are the operating system's
 * (fcntl), so the lock goes with its process however that ends, and no stale one can be left behind.
 * Returns the release, or null when another process (or another owner in this one) holds it.
 */
export const tryLock = (file: string): (() => void) | null => {
  const held = new DatabaseSync(file, { timeout: 0 })
  // Whoever may read it could lock it. (Not opened here: closing it again would drop this process's lock on it.)
  chmodSync(file, 0o600)
  try {
    held.exec('begin exclusive')
  } catch (error) {
    held.close()
    const busy = error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
    if (!busy) throw error
    return null
  }
  return () => held.close()
}
