/** What an agent says last of a run that is no backup: heard, whatever happens to the line. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFaultPlan } from '../support/fault-plan.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { seeded } from '../support/seeded.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-last-word-'))
const plan = createFaultPlan(seeded('last word'))
let instance: Instance
let line: FaultProxy
let agent: Protected
beforeAll(async () => {
  mkdirSync(join(folder, 'source'))
  instance = await startInstance(folder)
  line = await startFaultProxy(instance.url, plan)
  // Nothing of what it is to back up is there: every backup of it fails.
  agent = await instance.protect('one', [join(folder, 'nothing')], { url: line.url })
})
afterAll(async () => {
  await instance.close()
  await line.close()
  rmSync(folder, { recursive: true, force: true })
})

test.each([
  ['it is on its way', /"type":"backup\.ended"/],
  ['its answer is on its way', /"type":"backup\.settled"/],
])('a connection that is cut while %s does not change how the run ends', async (_, text) => {
  plan.reset()
  plan.set([{ fault: 'socket-cut', share: 1, times: 1, text }])
  const backup = await instance.backup(agent.jobId)
  expect(backup).toMatchObject({ status: 'failed', error: { code: 'SOURCE_UNREADABLE' } })
  // The next one waits for its turn until the last word of this one is answered.
  plan.set([])
  expect(await instance.backup(agent.jobId)).toMatchObject({
    status: 'failed',
    error: { code: 'SOURCE_UNREADABLE' },
  })
  expect(plan.counts()).toEqual({ 'socket-cut': 1 })
})
