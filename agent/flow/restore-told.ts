/** What the control plane hears of a restore while it runs: how far it is, what became of single files, a log. */
import { SECOND } from '#shared/units.ts'
import type { RestoreEvent } from '../core/restore-events.ts'
import { createNotes } from '../core/restore-notes.ts'
import { amountsOf, type RestoreTally } from '../core/restore-tally.ts'
import type { World } from '../ports.ts'
import type { RestoreLink } from '../ports/restore-link.ts'

/** PROTOCOL.md, `restore.progress`: at most one a second. */
const EVERY = SECOND
const MOST_LINE = 2000

export type Teller = {
  note(event: RestoreEvent): void
  readonly say: (text: string, level?: 'info' | 'warn' | 'error') => void
  /** Tells what is left, and no more after it. */
  end(): Promise<void>
}

type Parts = { readonly link: RestoreLink; readonly tally: RestoreTally; readonly world: World }

export const createTeller = ({ link, tally, world }: Parts): Teller => {
  const notes = createNotes()
  const ended = new AbortController()
  let last = ''
  const flush = (): void => {
    for (let files = notes.take(); files.length > 0; files = notes.take())
      link.tell('restore.noted', { files })
  }
  const progress = (): void => {
    const body = {
      phase: tally.phase,
      ...amountsOf(tally),
      files_total: tally.filesTotal,
      bytes_total: tally.bytesTotal,
    }
    const text = JSON.stringify(body)
    if (text !== last) link.tell('restore.progress', body)
    last = text
  }
  const keepTelling = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      flush()
      progress()
      await world.clock.sleep(EVERY, ended.signal).catch(() => undefined)
    }
  }
  const telling = keepTelling()
  return {
    note: (event) => {
      if (notes.add(event)) flush()
    },
    say: (text, level = 'info') => link.tell('log', { level, message: text.slice(0, MOST_LINE) }),
    end: async () => {
      ended.abort()
      await telling
      flush()
    },
  }
}
