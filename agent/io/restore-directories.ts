/** The directories of a restore, held open while something is written into them. */
import { mkdirSync } from 'node:fs'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import { close, type Handle, inside, makeBelow, openBelow } from './restore-paths.ts'

/** Directories kept open though nothing uses them: a path and its neighbours. */
const IDLE = 256

type Held = { readonly handle: Handle; users: number }

export type Directories = {
  /** Opens a directory and counts one user; where `make`, it and those above it are made if they are not there. */
  hold(dir: Bytes, make?: boolean): { readonly handle: Handle; readonly release: () => void }
  /** Makes a directory that must not be there yet, and keeps it open for a while. */
  make(dir: Bytes, name: Bytes): void
  readonly closeAll: () => void
}

/** The directory above; `/` is above itself. */
const above = (dir: Bytes): Bytes => {
  const cut = dir.lastIndexOf('/')
  return cut <= 0 ? '/' : dir.slice(0, cut)
}

type Store = {
  known(dir: Bytes): Held | undefined
  keep(dir: Bytes, handle: Handle): Held
  forget(): void
  readonly closeAll: () => void
}

/** Those used last stay, and those in use. */
const createStore = (top: Handle): Store => {
  const held = new Map<Bytes, Held>([['/', { handle: top, users: 1 }]])
  return {
    known: (dir) => {
      const one = held.get(dir)
      if (one === undefined) return undefined
      held.delete(dir)
      held.set(dir, one)
      return one
    },
    keep: (dir, handle) => {
      const one = { handle, users: 0 }
      held.set(dir, one)
      return one
    },
    forget: () => {
      if (held.size <= IDLE) return
      for (const [dir, one] of held) {
        if (one.users > 0) continue
        held.delete(dir)
        close(one.handle)
        if (held.size <= IDLE) return
      }
    },
    closeAll: () => {
      for (const { handle } of held.values()) close(handle)
      held.clear()
    },
  }
}

/** From the deepest one that is open, name by name: paths may be deeper than a call stack. */
const openAll = (store: Store, dir: Bytes, make: boolean): Held => {
  let at = dir
  let one = store.known(at)
  while (one === undefined) {
    at = above(at)
    one = store.known(at)
  }
  while (at !== dir) {
    const start = at === '/' ? 1 : at.length + 1
    const slash = dir.indexOf('/', start)
    const end = slash < 0 ? dir.length : slash
    at = dir.slice(0, end)
    const name = dir.slice(start, end)
    one = store.keep(at, make ? makeBelow(one.handle, name) : openBelow(one.handle, name))
  }
  return one
}

export const createDirectories = (top: Handle): Directories => {
  const store = createStore(top)
  return {
    hold: (dir, make = false) => {
      const one = openAll(store, dir, make)
      one.users += 1
      store.forget()
      return {
        handle: one.handle,
        release: () => {
          one.users -= 1
        },
      }
    },
    make: (dir, name) => {
      const parent = openAll(store, dir, false)
      mkdirSync(inside(parent.handle, name), 0o700)
      store.keep(pathOf(dir, name), openBelow(parent.handle, name))
      store.forget()
    },
    closeAll: store.closeAll,
  }
}
