/** `holdfast serve`: the control plane alone, for a PostgreSQL and storages that are elsewhere. Any number of replicas. */
import type { RecoveryKit } from '#shared/format/recovery-kit.ts'
import { deliverKit } from './deliver-kit.ts'
import { EXIT } from './exit-codes.ts'
import { screenOn } from './screen.ts'
import { INTERRUPTED, onSignals, untilInterrupted } from './signals.ts'

export type Served = {
  readonly url: string
  stop(): Promise<void>
  readonly broken: Promise<Error>
}

export type ServeParts = {
  start(deliver: (kit: RecoveryKit) => Promise<void>, stop: AbortSignal): Promise<Served>
  readonly createPrivate: (file: string, text: string) => Promise<void>
}

export const serve = async (
  parts: ServeParts,
  options: { readonly kit: string | null },
): Promise<number> => {
  const screen = screenOn(process.stdout)
  const end = new AbortController()
  await using owned = new AsyncDisposableStack()
  owned.use(onSignals(end, screen.say))
  try {
    const served = await parts.start(
      async (kit) =>
        deliverKit({ screen, file: options.kit, createPrivate: parts.createPrivate }, kit),
      end.signal,
    )
    owned.defer(async () => served.stop())
    void served.broken.then((why) => end.abort(why))
    screen.say(`The control plane runs at ${served.url}`)
    await untilInterrupted(end.signal)
    return EXIT.done
  } catch (error) {
    if (!end.signal.aborted) throw error
    if (end.signal.reason === INTERRUPTED) return EXIT.interrupted
    throw end.signal.reason
  }
}
