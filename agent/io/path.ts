import type { Bytes } from '#shared/format/tree-order.ts'

const ASCII = /^[\x00-\x7f]*$/

/** A byte path for node:fs: the string itself where it is ASCII (faster), else its bytes. */
export const fsPath = (path: Bytes): string | Buffer =>
  ASCII.test(path) ? path : Buffer.from(path, 'latin1')
