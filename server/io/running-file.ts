/** `control-plane.json`: where the control plane of a data folder is to be reached. Stale after a kill: see `instance`. */
import { parser, Type } from '#shared/schema.ts'
import { readText, removeFile, writePrivate } from './private-file.ts'

const Running = Type.Object({
  url: Type.String(),
  pid: Type.Integer({ minimum: 1 }),
  /** The same as in the answer of /healthz, as long as it is the same process. */
  instance: Type.String(),
})
const parseRunning = parser(Running)

export type Running = { readonly url: string; readonly pid: number; readonly instance: string }

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** `null` when there is none, or it is not whole. */
export const readRunning = async (file: string): Promise<Running | null> => {
  const text = await readText(file)
  const parsed = parseRunning(text === null ? null : parseJson(text))
  return 'ok' in parsed ? parsed.ok : null
}

/** Until disposed. */
export const announce = async (file: string, running: Running): Promise<AsyncDisposable> => {
  await writePrivate(file, `${JSON.stringify(running)}\n`)
  return { [Symbol.asyncDispose]: async () => removeFile(file) }
}
