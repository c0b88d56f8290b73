/** Answers that are text of any length, in bounded memory. */
import { Readable } from 'node:stream'
import { type Ms, SECOND } from '#shared/units.ts'

/** A reader that takes nothing for so long is let go. */
const STALLED: Ms = 60 * SECOND

async function* watched(
  parts: AsyncIterable<string>,
  onStalled: () => void,
): AsyncGenerator<string, void, undefined> {
  for await (const part of parts) {
    const timer = setTimeout(onStalled, STALLED)
    try {
      yield part
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Asks for the next part when the last one was taken. */
export const textStream = (parts: AsyncIterable<string>): Readable => {
  const stream = Readable.from(
    watched(parts, () => stream.destroy()),
    { objectMode: false },
  )
  return stream
}
