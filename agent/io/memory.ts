import { setFlagsFromString } from 'node:v8'

/**
 * Keeps V8's nursery at its first size. Left alone it grows to 48 MiB and more for garbage that dies at once; measured
 * on 300,000 small files: peak 313 MiB instead of 432, for 4 % more CPU time.
 */
export const boundNursery = (): void => setFlagsFromString('--semi-space-growth-factor=1')
