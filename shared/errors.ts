/**
 * The catalogue of errors. A code is stable, is documented here, and decides the HTTP status, the exit code of the
 * command line, whether trying again can help, and what the person is told to do. Match on the code, never on the text.
 */
export type Retry = 'never' | 'later' | 'after-change'

type Entry = {
  readonly status: number
  readonly exit: number
  readonly retry: Retry
  /** What happened, with `{field}` places filled from the details. */
  readonly what: string
  /** What to do; the end of every message. */
  readonly hint: string
}

type Text = readonly [what: string, hint: string]

const entry = (status: number, exit: number, retry: Retry, [what, hint]: Text): Entry => ({
  status,
  exit,
  retry,
  what,
  hint,
})

// Exit codes: 1 failed, 2 wrong use, 3 done in part, 4 not allowed, 5 not found, 6 cannot reach something, 7 damaged data.
export const CATALOGUE = {
  VALIDATION_FAILED: entry(400, 2, 'after-change', [
    '{field}: {problem}.',
    'Correct the field and send it again.',
  ]),
  UNAUTHENTICATED: entry(401, 4, 'after-change', [
    'The token is missing, unknown or expired.',
    'Send "Authorization: Bearer <token>" with a valid token.',
  ]),
  PERMISSION_DENIED: entry(403, 4, 'after-change', [
    'The token lacks the scope "{scope}".',
    'Use a token that has this scope.',
  ]),
  RESOURCE_NOT_FOUND: entry(404, 5, 'never', [
    'There is no {resource} {id}.',
    'Check the id; list what there is to find it.',
  ]),
  JOB_VERSION_NOT_FOUND: entry(404, 5, 'never', [
    'The job {job_id} has no version {version}.',
    'List its versions to find the one that you mean.',
  ]),
  CONFLICT: entry(409, 1, 'after-change', [
    '{problem}.',
    'Look at the present state and decide again.',
  ]),
  INVALID_STATE: entry(409, 1, 'after-change', [
    '{resource} is {status}, so this cannot be done.',
    'Wait for, or bring about, the state that it needs.',
  ]),
  RESOURCE_HAS_DEPENDENCIES: entry(409, 1, 'after-change', [
    'The {resource} {id} is still used by {dependents}.',
    'Remove those first.',
  ]),
  OPERATION_IN_PROGRESS: entry(409, 1, 'later', [
    'A {operation} of this {resource} is running already ({id}).',
    'Wait until it ends, or cancel it.',
  ]),
  KEY_REQUIRED: entry(409, 4, 'after-change', [
    'This needs a key that the control plane does not have: {problem}.',
    'Give --identity FILE, or approve the open request.',
  ]),
  GONE: entry(410, 5, 'never', [
    'The {resource} {id} was removed, and the time in which it could be brought back is over.',
    'Use another one; list what there is to find it.',
  ]),
  PAYLOAD_TOO_LARGE: entry(413, 2, 'after-change', [
    'The body is larger than {limit} bytes.',
    'Send less at once.',
  ]),
  UNSUPPORTED_MEDIA_TYPE: entry(415, 2, 'after-change', [
    'The body is not JSON, as its Content-Type has it.',
    'Send JSON, with "Content-Type: application/json".',
  ]),
  LIMIT_EXCEEDED: entry(422, 1, 'after-change', [
    'The limit of {limit} {what} is reached.',
    'Remove some, or raise the limit.',
  ]),
  RATE_LIMITED: entry(429, 1, 'later', [
    'Too many requests with this token.',
    'Wait for the time in Retry-After.',
  ]),
  INTERNAL: entry(500, 1, 'later', [
    'The control plane failed at something that it should not fail at.',
    'Try again; if it stays, look for the request id in the log.',
  ]),
  STORAGE_UNAVAILABLE: entry(503, 6, 'later', [
    'The storage {storage} did not do "{verb}": {problem}.',
    'Check its endpoint, credentials and bucket.',
  ]),
  DATABASE_UNAVAILABLE: entry(503, 6, 'later', [
    'The database cannot be reached: {problem}.',
    'Check DATABASE_URL, or that the embedded server can start.',
  ]),
  DATABASE_INCOMPATIBLE: entry(500, 1, 'after-change', [
    'The database does not fit this program: {problem}.',
    'Run the version of Holdfast that it was last used with, or a newer one.',
  ]),
  CONTROL_PLANE_UNREACHABLE: entry(503, 6, 'later', [
    'The control plane at {url} cannot be reached: {problem}.',
    'Check the address, that it runs (holdfast up), and that this machine may connect to it.',
  ]),
  AGENT_OFFLINE: entry(503, 6, 'later', [
    'The agent of server {server} is not connected.',
    'Start it there: holdfast-agent run.',
  ]),
  // What an agent reports
  PROTOCOL_VERSION: entry(409, 1, 'after-change', [
    'The control plane speaks protocol {control_plane}, the agent {agent}: the {older} is too old.',
    'Update it.',
  ]),
  PROTOCOL_VIOLATION: entry(400, 1, 'never', [
    'The other end broke the protocol: {problem}.',
    'Update both ends; if it stays, report it.',
  ]),
  ENROLMENT_REFUSED: entry(403, 4, 'after-change', [
    'The enrolment was refused: {problem}.',
    'Make a new enrolment token and use it once, within its time.',
  ]),
  RECIPIENTS_NOT_PINNED: entry(409, 4, 'after-change', [
    'The control plane asks to encrypt to recipients that this agent has not pinned (fingerprint {fingerprint}).',
    'If you meant to change the keys, enrol the agent again and confirm this fingerprint; if not, the control plane may be hijacked.',
  ]),
  POLICY_REFUSED: entry(409, 4, 'after-change', [
    'The local policy of this server ({policy}) does not name {path} in "{list}".',
    'If it should, whoever owns the server adds that path, or a folder above it, to that file there.',
  ]),
  POLICY_UNUSABLE: entry(409, 4, 'after-change', [
    'The local policy {policy} of this server cannot be used: {problem}.',
    'Make it a file that only root, or who runs the agent, can write, in folders of which the same is true.',
  ]),
  LEASE_LOST: entry(409, 1, 'later', [
    'The run {run} belongs to a newer epoch.',
    'Nothing to do: the newer attempt goes on.',
  ]),
  RUN_LOST: entry(409, 1, 'later', [
    'The agent no longer works on this run: it was restarted, or lost its state.',
    'Start it again; what a backup has uploaded is not sent twice.',
  ]),
  RUN_TOO_LONG: entry(409, 1, 'later', [
    'The run took longer than is allowed.',
    'Raise the timeout of the job, or back up or restore less at once.',
  ]),
  PAUSED_TOO_LONG: entry(409, 1, 'later', [
    'The run was paused for longer than is allowed.',
    'Start it again; what a backup has uploaded is not sent twice.',
  ]),
  AGENT_REVOKED: entry(409, 4, 'after-change', [
    'The agent of server {server} was revoked while it worked on this.',
    'Enrol that machine with a new enrolment token, then start again.',
  ]),
  AGENT_UNKNOWN: entry(403, 4, 'after-change', [
    'The control plane does not know an agent of server {server} with this key: it was never enrolled, revoked, or enrolled anew elsewhere.',
    'Enrol this machine with a new enrolment token.',
  ]),
  AGENT_CLONED: entry(403, 4, 'after-change', [
    'The agent of server {server} presents an older count of connections ({joins}, expected above {known}): it was copied, or rolled back to an earlier state.',
    'Stop the copy; enrol this machine again with a new enrolment token.',
  ]),
  GRANT_REFUSED: entry(409, 1, 'never', [
    'The control plane refused to sign {what}: {problem}.',
    'See the log of the control plane.',
  ]),
  SOURCE_UNREADABLE: entry(409, 3, 'after-change', [
    'Cannot read {path}: {problem}.',
    'Check that it exists and that the agent may read it.',
  ]),
  SOURCE_VANISHED: entry(409, 3, 'later', [
    '{path} was removed while the backup ran: {problem}.',
    'Nothing to do, unless it should still be there.',
  ]),
  SOURCE_CHANGED: entry(409, 3, 'later', [
    '{path} changed while it was read: {problem}.',
    'Back it up while nothing writes to it, or dump it by its own means.',
  ]),
  SOURCE_SHRUNK: entry(409, 3, 'later', [
    '{path} became shorter while it was read: {problem}.',
    'Back it up while nothing writes to it.',
  ]),
  NOT_ENROLLED: entry(409, 2, 'after-change', [
    'No agent is enrolled in {state}.',
    'Enrol it first: holdfast-agent enroll --url URL --token-file FILE.',
  ]),
  CONTROL_PLANE_SILENT: entry(503, 6, 'later', [
    'The control plane did not answer "{request}" for {span}.',
    'Check that this server reaches the control plane.',
  ]),
  AGENT_STOPPED: entry(503, 6, 'later', [
    'The agent was stopped while it worked on this.',
    'Start it again: what a backup has uploaded is not sent twice.',
  ]),
  UPLOAD_FAILED: entry(503, 6, 'later', [
    'The upload of {key} failed: {problem}.',
    'Check that this server reaches the storage.',
  ]),
  TASK_ABANDONED: entry(500, 1, 'later', [
    'It was given up after {attempts} attempts: each time the control plane ended while it worked on it.',
    'Ask for it again; if it stays, look at the log of the control plane.',
  ]),
  CANCELED: entry(409, 1, 'never', ['It was canceled.', 'Start it again when wanted.']),
  // What a reader of a vault reports
  DAMAGED: entry(500, 7, 'after-change', [
    '{what} is damaged: {problem}.',
    'Restore the object from a copy of the bucket, or choose another backup.',
  ]),
  MISSING_OBJECT: entry(500, 7, 'after-change', [
    'The object {key} is missing.',
    'Restore it from a copy of the bucket, or choose another backup.',
  ]),
  WRONG_KEY: entry(409, 4, 'after-change', [
    'None of the given identities opens {what}.',
    'Give the identity of the recovery kit or of the encryption key.',
  ]),
  UNSUPPORTED: entry(409, 1, 'after-change', [
    '{what} needs the feature "{feature}", which this version does not know.',
    'Use a newer version.',
  ]),
  NOT_A_VAULT: entry(404, 5, 'after-change', [
    'There is no vault in {where}.',
    'Name the folder that holds "vaults", or the URLs of its objects.',
  ]),
  TARGET_UNSAFE: entry(409, 1, 'after-change', [
    '{path} cannot be written safely: {problem}.',
    'Restore into an empty folder.',
  ]),
  TARGET_UNWRITABLE: entry(409, 3, 'after-change', [
    '{path} could not be written: {problem}.',
    'Check space and rights there, then restore again.',
  ]),
  WRONG_USE: entry(400, 2, 'after-change', ['{problem}.', 'See --help.']),
  INTERNAL_AGENT: entry(500, 1, 'later', [
    'The agent failed at something that it should not fail at: {problem}.',
    'Look at its log.',
  ]),
} as const satisfies Record<string, Entry>

export type ErrorCode = keyof typeof CATALOGUE

export type Details = Readonly<Record<string, string | number | boolean | readonly string[] | null>>

/** The only error class of the product. `details` fill the message's places and go to the client: no secrets in them. */
export class Failure extends Error {
  readonly code: ErrorCode
  readonly details: Details

  constructor(code: ErrorCode, details: Details = {}, options?: ErrorOptions) {
    super(describe(code, details), options)
    this.name = 'Failure'
    this.code = code
    this.details = details
  }
}

/** The full sentence for a person: what happened, to what, what to do. */
export const describe = (code: ErrorCode, details: Details): string => {
  const { what, hint } = CATALOGUE[code]
  const filled = what.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? 'unknown'))
  return `${filled} ${hint}`
}

export const fail = (code: ErrorCode, details: Details = {}, options?: ErrorOptions): Failure =>
  new Failure(code, details, options)

export const isErrorCode = (text: string): text is ErrorCode => Object.hasOwn(CATALOGUE, text)

export const hasCode = (error: unknown, code: ErrorCode): error is Failure =>
  error instanceof Failure && error.code === code

/** The text of any thrown thing, for a `problem` field. Of several in one (a name with many addresses) each. */
export const problemOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.message === '')
    return [...new Set(error.errors.map(problemOf))].join('; ')
  return error instanceof Error ? error.message : String(error)
}
