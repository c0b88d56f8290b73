/** What `holdfast get`, `verify` and `keys approve` start: one job, told on standard input, so that no key is an argument. */
import { CATALOGUE, Failure } from '#shared/errors.ts'
import { type Handed, parseHanded } from '../../core/handed.ts'
import type { OpenEvent } from '../../core/open-events.ts'
import { type HandedWorld, openHanded } from '../../flow/open-handed.ts'
import { type Console, EXIT, tellJson } from './open.ts'
import { createText } from './open-text.ts'

/** `result` takes what the parent asked for, one JSON object. */
export const handedCommand = async (
  input: string,
  world: HandedWorld,
  {
    out,
    err,
    drained,
    live = false,
    stop,
    result,
  }: Console & {
    readonly stop: AbortSignal
    readonly result: (json: string) => void
  },
): Promise<number> => {
  const text = createText({ out, err, live }, false)
  let handed: Handed | null = null
  try {
    handed = parseHanded(input)
    const tell = handed.json ? (event: OpenEvent) => tellJson(out, event) : text.tell
    const taken = drained ?? (async () => Promise.resolve())
    const { verdict, approval } = await openHanded(handed, world, { tell, taken, stop })
    if (approval !== null) result(JSON.stringify(approval))
    else if (handed.json) out(`${JSON.stringify({ event: 'end', verdict })}\n`)
    return EXIT[verdict]
  } catch (error) {
    text.end()
    if (stop.aborted) return 130
    if (!(error instanceof Failure)) throw error
    const { code, message } = error
    if (handed?.json === true) out(`${JSON.stringify({ event: 'error', code, message })}\n`)
    else err(`${message}\n`)
    return CATALOGUE[code].exit
  }
}
