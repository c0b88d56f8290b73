import { arch, availableParallelism, hostname, release, totalmem, type } from 'node:os'
import type { Facts } from '#shared/protocol/hello.ts'

/** What the control plane shows of this machine. */
export const machineFacts = (version: string): Facts => ({
  hostname: hostname().slice(0, 255),
  os: type().slice(0, 255),
  kernel: release().slice(0, 255),
  arch: arch(),
  cpus: availableParallelism(),
  memory_bytes: totalmem(),
  agent_version: version,
})
