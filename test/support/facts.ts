import type { Facts } from '#shared/protocol/hello.ts'

/** What an agent says of its machine, where it does not matter. */
export const FACTS: Facts = {
  hostname: 'host',
  os: 'linux',
  kernel: '6.1',
  arch: 'x64',
  cpus: 2,
  memory_bytes: 1024,
  agent_version: '1.0.0',
}
