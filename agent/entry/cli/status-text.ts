/** The status for people (80 columns) and for programs. */
import { showFingerprint } from '#shared/format/keys.ts'
import { clip, type Column, localTime, plain, size, tableLines } from '#shared/table.ts'
import { showRange } from '#shared/protocol/version.ts'
import { formatCount, type Ms } from '#shared/units.ts'
import { showBytes } from '../../core/open-show.ts'
import { policyLines } from './policy.ts'
import type { JobNow, Status } from './status.ts'

const time = (ms: Ms): string => localTime(new Date(ms).toISOString())
/** Width of the first column, and of the second where it may be cut. */
const FIRST = 15
const SECOND = 80 - FIRST
const row = (name: string, value: string): string =>
  `${name.padEnd(FIRST)}${plain(value)}`.trimEnd()
const cutRow = (name: string, value: string): string => row(name, clip(value, SECOND))

const agentLines = ({ agent, now, identity }: Status): readonly string[] => {
  const url = row('control plane', identity.url)
  if (agent === 'absent') return [row('agent', 'not running'), url]
  if (now === null)
    return [row('agent', 'a process holds the state folder, but does not answer'), url]
  const { connected, since, problem } = now.connection
  const state = `${connected ? 'connected' : 'NOT connected'} since ${time(since)}`
  const why = problem === null || connected ? [] : [row('', problem)]
  return [
    row('agent', `running since ${time(now.started)} (pid ${String(now.pid)})`),
    url,
    row('', state),
    ...why,
  ]
}

const versionText = ({ version, protocol, format, now }: Status): string => {
  const running = now === null || now.agent === version ? '' : `, ${now.agent} runs`
  return `agent ${version}${running}; protocol ${showRange(protocol)}; format ${String(format)}`
}

const RUN_COLUMNS: readonly Column[] = [
  { head: 'RUN' },
  { head: 'KIND' },
  { head: 'PHASE' },
  { head: 'FILES', right: true },
  { head: 'BYTES', right: true },
]

const runLines = ({ now }: Status): readonly string[] => {
  if (now === null) return []
  if (now.runs.length === 0) return ['', 'No run is under way.']
  const cells = now.runs.map(({ run, kind, phase, files, bytes, paused }) => [
    run,
    kind,
    paused === true ? 'paused' : phase,
    formatCount(files),
    size(bytes),
  ])
  return ['', ...tableLines(RUN_COLUMNS, cells)]
}

const JOB_COLUMNS: readonly Column[] = [
  { head: 'JOB', least: 8 },
  { head: 'LAST' },
  { head: 'AT' },
  { head: 'BACKUP' },
]

const jobCells = ({ name, last, committed }: JobNow): readonly string[] => [
  name,
  last?.status ?? (committed === null ? 'none yet' : 'completed'),
  last === null ? '-' : time(last.at),
  last?.run ?? committed?.backup ?? '-',
]

const problemLines = ({ name, last }: JobNow): readonly string[] =>
  last?.problem === undefined || last.problem === null
    ? []
    : [`${plain(name)}: ${plain(last.problem.message)} (${plain(last.problem.code)})`]

const jobLines = ({ jobs }: Status): readonly string[] => {
  if (jobs.length === 0) return ['', 'No job has run here yet.']
  const table = tableLines(JOB_COLUMNS, jobs.map(jobCells))
  return ['', ...table, ...jobs.flatMap(problemLines)]
}

const policyText = ({ policy }: Status): readonly string[] =>
  'unusable' in policy ? ['policy: NOT usable', `  ${plain(policy.unusable)}`] : policyLines(policy)

export const statusText = (status: Status): string => {
  const { server, server_name: name, organization, pinned } = status.identity
  return [
    cutRow('server', name ?? 'of a name that is not known yet'),
    row('', server ?? ''),
    cutRow('organization', organization?.name ?? 'unknown'),
    ...agentLines(status),
    row('versions', versionText(status)),
    ...runLines(status),
    ...jobLines(status),
    '',
    ...policyText(status),
    ...pinned.flatMap(({ vault, fingerprint }) => [
      `vault ${vault}, readers confirmed:`,
      `  ${showFingerprint(fingerprint).slice(0, 39)}`,
      `  ${showFingerprint(fingerprint).slice(40)}`,
    ]),
    '',
  ].join('\n')
}

type Json = Readonly<Record<string, unknown>>

const iso = (ms: Ms): string => new Date(ms).toISOString()

const agentJson = ({ agent, now, version, protocol, format }: Status): Json => {
  const running = agent === 'answers' ? 'running' : agent
  const versions = { agent: version, protocol, format }
  if (now === null) return { agent: running, connected: false, versions, runs: [] }
  const { connected, since, problem, protocol: agreed } = now.connection
  return {
    agent: running,
    pid: now.pid,
    started_at: iso(now.started),
    connected,
    connection_since: iso(since),
    connection_problem: problem,
    versions: { ...versions, running: now.agent, agreed_protocol: agreed },
    runs: now.runs.map(({ began, ...run }) => ({ ...run, began_at: iso(began) })),
  }
}

const jobJson = ({ job, name, begun, last, committed }: JobNow): Json => ({
  job,
  name,
  running: begun === null ? null : { backup: begun.run, began_at: iso(begun.at) },
  last:
    last === null
      ? null
      : { backup: last.run, status: last.status, at: iso(last.at), error: last.problem },
  committed,
})

const policyJson = ({ policy }: Status): Json =>
  'unusable' in policy
    ? { unusable: policy.unusable }
    : {
        file: policy.file,
        sources: policy.sources.map(showBytes),
        restores: policy.restores.map(showBytes),
      }

/** Times as ISO 8601 in UTC. What only a process can say is there where one answers. */
export const statusJson = (status: Status): string => {
  const { server, server_name: name = null, organization, url, pinned } = status.identity
  return JSON.stringify({
    server: { id: server, name },
    organization: organization?.name ?? null,
    control_plane: url,
    ...agentJson(status),
    jobs: status.jobs.map(jobJson),
    policy: policyJson(status),
    vaults: pinned.map(({ vault, fingerprint }) => ({ vault, fingerprint })),
  })
}
