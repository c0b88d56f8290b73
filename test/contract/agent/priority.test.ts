import { readdirSync, readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { ownPriority } from '#agent/io/priority.ts'
import { memoryLog } from '../../support/log.ts'

const IS_ROOT = process.getuid?.() === 0

/** The nice value of every thread of this process, the 19th field of its stat (proc_pid_stat(5)). */
const niceValues = (): ReadonlySet<number> =>
  new Set(
    readdirSync('/proc/self/task').map((thread) => {
      const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
    }),
  )

describe.runIf(IS_ROOT)('the priority of this process (needs root to go back up)', () => {
  test('is lowered in every thread, for as long as anybody wants it', async () => {
    const usual = Math.min(...niceValues())
    const low = Math.max(usual, 10)
    const priority = ownPriority(memoryLog())
    const releases = [priority.lower(), priority.lower()]
    expect(niceValues()).toEqual(new Set([low]))
    const worker = new Worker('setInterval(() => undefined, 1000)', { eval: true })
    await new Promise((resolve) => worker.once('online', resolve))
    expect(niceValues()).toEqual(new Set([low]))
    releases[0]?.()
    releases[0]?.()
    expect(niceValues()).toEqual(new Set([low]))
    releases[1]?.()
    expect(niceValues()).toEqual(new Set([usual]))
    await worker.terminate()
  })
})
