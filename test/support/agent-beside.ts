import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from './wait.ts'

/** The process of the agent that `up` keeps, as `up` notes it in its data folder. */
export const agentBeside = async (data: string): Promise<number> => {
  const file = join(data, 'agent.pid')
  return eventually('the agent of up', () => {
    const pid = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
    return pid > 1 && pid
  })
}
