import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** `groupOrder` runs the cheap projects first; `system` starts real processes and goes last, one file at a time. */
const project = (name: string, groupOrder: number, testTimeout: number): object => ({
  extends: true,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: testTimeout,
    pool: 'forks',
    fileParallelism: name !== 'system',
    sequence: { groupOrder },
  },
})

export default defineConfig({
  root: fileURLToPath(new URL('..', import.meta.url)),
  test: {
    reporters: ['default', fileURLToPath(new URL('support/closing-line.ts', import.meta.url))],
    projects: [
      project('spec', 1, 60_000),
      project('arch', 2, 60_000),
      project('flow', 3, 60_000),
      project('contract', 4, 180_000),
      project('system', 5, 600_000),
    ],
  },
})
