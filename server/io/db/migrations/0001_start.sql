-- The start. Times are timestamptz in whole milliseconds, ids are UUIDv7 made by the program, sizes are bytes.
-- Every row belongs to one organization; the composite foreign keys (org_id, ...) make it impossible to link rows of two.

-- The only clock of every statement; nothing says now(). Whole milliseconds, so that a JavaScript Date carries the very
-- value. Stable and inlined, so that `due_at <= hf_now()` can use an index. Tests put another body in its place.
create function hf_now() returns timestamptz language sql stable parallel safe
  as $$ select date_trunc('milliseconds', statement_timestamp()) $$;

create table organizations (
  id uuid primary key,
  name text not null check (name <> ''),
  -- The recovery key: its public half. The secret half and the signing key are in the recovery kit only.
  recovery_recipient text,
  signing_public_key bytea check (octet_length(signing_public_key) = 32),
  kit_confirmed_at timestamptz,
  -- Rises at every recover or database restore, so that no pack number is handed out twice. 2^21: pack numbers are
  -- epoch * 2^32 + counter and stay below 2^53.
  catalog_epoch bigint not null default 1 check (catalog_epoch between 1 and 2097151),
  limits jsonb not null default '{}',
  blackout_windows jsonb not null default '[]',
  created_at timestamptz not null default hf_now(),
  updated_at timestamptz not null default hf_now()
);

create table projects (
  id uuid primary key,
  org_id uuid not null references organizations,
  name text not null check (name <> ''),
  created_at timestamptz not null default hf_now(),
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  unique (org_id, name)
);

create table tokens (
  id uuid primary key,
  org_id uuid not null references organizations,
  -- Null: every project of the organization.
  project_id uuid,
  name text not null,
  -- SHA-256 of the token. Unique is also the index that every request looks it up by.
  hash bytea not null unique check (octet_length(hash) = 32),
  scopes text[] not null
    check (scopes <@ array['read', 'backup', 'restore', 'download', 'delete', 'keys', 'admin']),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default hf_now(),
  unique (org_id, id),
  foreign key (org_id, project_id) references projects (org_id, id)
);

-- The customers' machines.
create table servers (
  id uuid primary key,
  org_id uuid not null references organizations,
  project_id uuid,
  name text not null check (name <> ''),
  type text not null check (type in ('agent', 'ssh')),
  environment text not null default 'production'
    check (environment in ('production', 'staging', 'development')),
  labels jsonb not null default '{}',
  status text not null default 'pending' check (status in ('pending', 'online', 'offline', 'failing')),
  -- For type ssh.
  host text,
  port integer check (port between 1 and 65535),
  "user" text,
  host_key text,
  jump_server_id uuid,
  -- What the agent says about its machine; shown, never decided upon.
  facts jsonb not null default '{}',
  agent_version text,
  -- The agent's public keys: Ed25519 for records and requests, X25519 for what is sealed to it.
  signing_key bytea check (octet_length(signing_key) = 32),
  box_key bytea check (octet_length(box_key) = 32),
  -- Counts hellos: a cloned or rolled-back agent presents an old value.
  join_counter bigint not null default 0 check (join_counter >= 0),
  enrolled_at timestamptz,
  last_seen_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default hf_now(),
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  foreign key (org_id, project_id) references projects (org_id, id),
  foreign key (org_id, jump_server_id) references servers (org_id, id),
  check (type <> 'ssh' or host is not null),
  check ((signing_key is null) = (box_key is null))
);
-- A revoked machine does not block its name.
create unique index servers_name on servers (org_id, name) where revoked_at is null;
-- The agent's hello names its signing key; one key is one machine.
create unique index servers_signing_key on servers (signing_key) where revoked_at is null;

create table enrollment_tokens (
  id uuid primary key,
  org_id uuid not null references organizations,
  server_id uuid not null,
  hash bytea not null unique check (octet_length(hash) = 32),
  -- The (storage, key) pairs whose recipients the person who enrols it confirms: [{storage_id, encryption_key_id}].
  vaults jsonb not null default '[]',
  created_by uuid,
  expires_at timestamptz not null,
  used_at timestamptz,
  created_at timestamptz not null default hf_now(),
  foreign key (org_id, server_id) references servers (org_id, id) on delete cascade
);

create table storages (
  id uuid primary key,
  org_id uuid not null references organizations,
  name text not null check (name <> ''),
  provider text not null,
  endpoint text not null,
  region text not null,
  bucket text not null,
  prefix text not null default '',
  path_style boolean not null default true,
  -- {access_key_id, secret_access_key}, sealed under the master key for the purpose 'storages/<id>/credentials'.
  sealed_credentials bytea not null,
  -- What its test found out, for example {"conditional_put": true, "clock_skew_ms": 12}.
  capabilities jsonb not null default '{}',
  allow_plaintext_downloads boolean not null default false,
  tested_at timestamptz,
  created_at timestamptz not null default hf_now(),
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  unique (org_id, name)
);

create table encryption_keys (
  id uuid primary key,
  org_id uuid not null references organizations,
  name text not null check (name <> ''),
  type text not null check (type in ('managed', 'customer')),
  recipient text not null,
  -- Sealed under the master key for the purpose 'encryption_keys/<id>/identity'; a customer's is never here.
  sealed_identity bytea,
  created_at timestamptz not null default hf_now(),
  unique (org_id, id),
  unique (org_id, name),
  check ((type = 'managed') = (sealed_identity is not null))
);

-- Lock order of everything that follows: vaults, then job_heads, then backups, then packs by rising pack_no.
create table vaults (
  id uuid primary key,
  org_id uuid not null references organizations,
  server_id uuid not null,
  storage_id uuid not null,
  encryption_key_id uuid not null,
  list_recipient text not null,
  -- Sealed for the purpose 'vaults/<id>/list_identity'.
  sealed_list_identity bytea not null,
  -- The exact sets that the agent pins: {content: [], recovery: [], list: []}.
  recipients jsonb not null,
  -- Null until the agent has written signers/0.
  genesis bytea,
  genesis_fingerprint bytea check (octet_length(genesis_fingerprint) = 32),
  genesis_key text,
  -- The agent key in office: one that is enrolled anew cannot continue this vault.
  agent_key bytea check (octet_length(agent_key) = 32),
  -- A number is handed out by one `update ... set next_pack_counter = next_pack_counter + n returning`, whose row lock
  -- makes it unique. Counters start at 1 and stay below 2^32.
  catalog_epoch bigint not null default 1 check (catalog_epoch between 1 and 2097151),
  next_pack_counter bigint not null default 1 check (next_pack_counter between 1 and 4294967296),
  -- Rises whenever packs are condemned, retired or deleted; a run says which epoch it knows.
  gc_epoch bigint not null default 0 check (gc_epoch >= 0),
  retired_at timestamptz,
  created_at timestamptz not null default hf_now(),
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  foreign key (org_id, server_id) references servers (org_id, id),
  foreign key (org_id, storage_id) references storages (org_id, id),
  foreign key (org_id, encryption_key_id) references encryption_keys (org_id, id),
  check ((genesis is null) = (genesis_fingerprint is null))
);
-- At most one active vault for a (server, storage, key): two replicas that both make one meet here.
create unique index vaults_active on vaults (server_id, storage_id, encryption_key_id)
  where retired_at is null;

create table jobs (
  id uuid primary key,
  org_id uuid not null references organizations,
  server_id uuid not null,
  storage_id uuid not null,
  encryption_key_id uuid not null,
  name text not null check (name <> ''),
  -- The current one of job_versions.
  version integer not null default 1 check (version >= 1),
  external_id text,
  paused_at timestamptz,
  -- Null: not scheduled, or paused.
  next_run_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default hf_now(),
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  foreign key (org_id, server_id) references servers (org_id, id),
  foreign key (org_id, storage_id) references storages (org_id, id),
  foreign key (org_id, encryption_key_id) references encryption_keys (org_id, id)
);
create unique index jobs_name on jobs (org_id, name) where deleted_at is null;
-- The jobs of a server; also the check before a server may be deleted.
create index jobs_server on jobs (server_id) where deleted_at is null;
-- The scheduler's `next_run_at <= hf_now() ... for update skip locked`: any number of replicas may tick.
create index jobs_due on jobs (next_run_at) where next_run_at is not null and deleted_at is null;

-- What a job was at each change; never updated, so that a backup can say what it ran.
create table job_versions (
  job_id uuid not null,
  version integer not null check (version >= 1),
  org_id uuid not null references organizations,
  sources jsonb not null,
  schedules jsonb not null default '[]',
  -- Null: the settings of the server apply.
  retention jsonb,
  -- hooks, depends_on, timeout, max_retries, notifications.
  settings jsonb not null default '{}',
  created_by jsonb,
  created_at timestamptz not null default hf_now(),
  primary key (job_id, version),
  foreign key (org_id, job_id) references jobs (org_id, id) on delete cascade
);
alter table jobs add constraint jobs_current_version
  foreign key (id, version) references job_versions (job_id, version) deferrable initially deferred;

create table backups (
  id uuid primary key,
  org_id uuid not null references organizations,
  job_id uuid not null,
  job_version integer not null,
  server_id uuid not null,
  -- Null until the run is dispatched for the first time.
  vault_id uuid,
  name text not null,
  description text not null default '',
  -- pending -> running -> completed | partial | failed | canceled; final states are final
  -- (server/core/backup-machine.ts is the only author of them).
  status text not null default 'pending'
    check (status in ('pending', 'running', 'completed', 'partial', 'failed', 'canceled')),
  trigger text not null
    check (trigger in ('manual', 'scheduled', 'retry', 'safety', 'snapshot', 'drill')),
  -- {name, user_id?, token_id?}
  triggered_by jsonb,
  external_id text,
  tags text[] not null default '{}',
  scheduled_for timestamptz,

  -- The run. Its epoch rises with every dispatch and every new connection; every message carries it, and every
  -- statement of a run says `where lease_epoch = $epoch`, so that an older attempt changes nothing.
  lease_epoch bigint not null default 0 check (lease_epoch >= 0),
  -- The join counter of the connection that holds it: every later connection of the server has a higher one.
  lease_link bigint,
  lease_until timestamptz,
  -- The agent has said that it works on it; before that an offer that was lost is made again.
  accepted_at timestamptz,
  detached_at timestamptz,
  -- Past it the run fails, whatever the agent says.
  deadline timestamptz,
  cancel_requested_at timestamptz,
  attempt integer not null default 1 check (attempt >= 1),
  retry_count integer not null default 0 check (retry_count >= 0),
  -- Back-off: not before this.
  run_after timestamptz not null default hf_now(),
  -- Grants are capped per run in objects and bytes.
  granted_objects bigint not null default 0 check (granted_objects >= 0),
  granted_bytes bigint not null default 0 check (granted_bytes >= 0),
  -- The vault's gc_epoch at which this run holds its floor.
  gc_floor bigint,
  phase text,
  progress jsonb not null default '{}',
  -- What the agent said when its record was stored: a commit that was interrupted is finished with it.
  finish jsonb,

  -- The result: the record object, and where it stands in the chain of its (vault, job).
  sequence bigint check (sequence >= 1),
  parent_id uuid,
  record_key text,
  record_size bigint check (record_size > 0),
  record_sha256 bytea check (octet_length(record_sha256) = 32),
  -- The age header and the 16-byte payload nonce after it, so that opening needs no extra read.
  record_header bytea,
  record_etag text,
  error jsonb,
  counts jsonb not null default '{}',
  error_count bigint not null default 0 check (error_count >= 0),
  -- The first of them: [{path, code, problem}]; all are in the record.
  errors jsonb not null default '[]',
  bytes_source bigint check (bytes_source >= 0),
  bytes_new bigint check (bytes_new >= 0),
  bytes_stored bigint check (bytes_stored >= 0),
  last_verified jsonb not null default '{}',

  pinned boolean not null default false,
  pin_label text,
  ttl_seconds bigint check (ttl_seconds > 0),
  inactivity_timeout_seconds bigint check (inactivity_timeout_seconds > 0),
  expires_at timestamptz,
  last_used_at timestamptz,
  deleted_at timestamptz,

  created_at timestamptz not null default hf_now(),
  started_at timestamptz,
  completed_at timestamptz,
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  foreign key (org_id, job_id) references jobs (org_id, id),
  foreign key (job_id, job_version) references job_versions (job_id, version),
  foreign key (org_id, server_id) references servers (org_id, id),
  foreign key (org_id, vault_id) references vaults (org_id, id),
  foreign key (org_id, parent_id) references backups (org_id, id),
  check ((completed_at is not null) = (status in ('completed', 'partial', 'failed', 'canceled'))),
  -- Nothing is a backup until it is committed: a good one has its record and its place.
  check (status not in ('completed', 'partial')
    or (record_key is not null and record_sha256 is not null and sequence is not null and vault_id is not null))
);
-- At most one run of a job at a time: the second `insert` fails here, and its caller answers OPERATION_IN_PROGRESS.
create unique index backups_one_run on backups (job_id) where status in ('pending', 'running');
-- The dispatcher's oldest-first scan over what waits, and the scan over expired leases; both only over open runs.
create index backups_pending on backups (run_after) where status = 'pending';
create index backups_leased on backups (lease_until) where status = 'running';
-- What a server works on, at every heartbeat; and what waits for it.
create index backups_open on backups (server_id) where status in ('pending', 'running');
-- One committed backup for every place in a chain.
create unique index backups_sequence on backups (vault_id, job_id, sequence) where sequence is not null;
-- Lists, newest first: of the organization, of a job, of a server.
create index backups_by_org on backups (org_id, created_at desc, id desc);
create index backups_by_job on backups (job_id, created_at desc, id desc);
create index backups_by_server on backups (server_id, created_at desc, id desc);
create index backups_by_external_id on backups (org_id, external_id) where external_id is not null;

-- The newest committed record of each (vault, job). A commit locks this row first, so that commits of one chain follow
-- one another; and it is the head against which a withheld record is found out.
create table job_heads (
  vault_id uuid not null,
  job_id uuid not null,
  org_id uuid not null references organizations,
  sequence bigint not null default 0 check (sequence >= 0),
  backup_id uuid,
  record_sha256 bytea check (octet_length(record_sha256) = 32),
  -- The vault's gc_epoch that the agent was told with this commit.
  gc_epoch bigint not null default 0 check (gc_epoch >= 0),
  updated_at timestamptz not null default hf_now(),
  primary key (vault_id, job_id),
  foreign key (org_id, vault_id) references vaults (org_id, id) on delete cascade,
  foreign key (org_id, job_id) references jobs (org_id, id),
  check ((sequence = 0) = (record_sha256 is null))
);

-- Every pack and tree that was ever granted. granted -> stored -> condemned -> deleted; a commit revives a condemned one.
-- A row is locked (`for update`, by rising pack_no) before its state changes, by commits and by deletion alike.
create table packs (
  vault_id uuid not null,
  -- epoch * 2^32 + counter.
  pack_no bigint not null check (pack_no > 0),
  org_id uuid not null references organizations,
  class text not null check (class in ('pack', 'tree')),
  object_key text not null,
  size bigint not null check (size > 0),
  sha256 bytea not null check (octet_length(sha256) = 32),
  -- The age header and the payload nonce; known when it is stored.
  header bytea,
  etag text,
  state text not null default 'granted' check (state in ('granted', 'stored', 'condemned', 'deleted')),
  granted_by uuid,
  granted_at timestamptz not null default hf_now(),
  stored_at timestamptz,
  condemned_at timestamptz,
  -- The vault's gc_epoch at condemnation: deleted only when it lies below every floor.
  condemned_epoch bigint,
  -- Its blobs are treated as absent from this gc_epoch on.
  retired_epoch bigint,
  deleted_at timestamptz,
  primary key (vault_id, pack_no),
  foreign key (org_id, vault_id) references vaults (org_id, id),
  foreign key (org_id, granted_by) references backups (org_id, id),
  check (state = 'granted' or state = 'deleted' or etag is not null),
  check ((state = 'condemned') <= (condemned_at is not null and condemned_epoch is not null)),
  check ((state = 'deleted') <= (deleted_at is not null))
);
-- No key is ever handed out twice.
create unique index packs_object_key on packs (vault_id, object_key);
-- What a run was granted: settling it, and collecting what it left behind.
create index packs_granted_by on packs (granted_by);
-- The deletion's scan, and "what was condemned, retired or deleted since gc_epoch" at the opening of a run.
create index packs_condemned on packs (vault_id, condemned_epoch) where condemned_epoch is not null;
create index packs_retired on packs (vault_id, retired_epoch) where retired_epoch is not null;

-- The other objects of a vault: records, signers, keys. `no` is the sequence number, or the place in the chain. A run may
-- have to write one again with other bytes (a record after commit.missing): another row, another key.
create table vault_objects (
  vault_id uuid not null,
  object_key text not null,
  org_id uuid not null references organizations,
  class text not null check (class in ('record', 'signer', 'key')),
  no bigint not null check (no >= 0),
  size bigint not null check (size > 0),
  sha256 bytea not null check (octet_length(sha256) = 32),
  header bytea,
  etag text,
  granted_by uuid not null,
  granted_at timestamptz not null default hf_now(),
  stored_at timestamptz,
  primary key (vault_id, object_key),
  foreign key (org_id, vault_id) references vaults (org_id, id),
  foreign key (org_id, granted_by) references backups (org_id, id),
  check ((stored_at is null) = (etag is null))
);
-- A repeated request finds its row; two at once meet here.
create unique index vault_objects_granted on vault_objects (granted_by, class, no, sha256);

-- Which backups of a job use a pack: those with from_seq <= sequence < to_seq (null: still). A backup costs rows only
-- for what changed against its parent.
create table pack_refs (
  vault_id uuid not null,
  pack_no bigint not null,
  job_id uuid not null,
  from_seq bigint not null check (from_seq >= 1),
  to_seq bigint check (to_seq > from_seq),
  -- Bytes of the pack that the interval's backups use; another number of bytes is another interval.
  live_bytes bigint not null check (live_bytes >= 0),
  org_id uuid not null references organizations,
  -- By pack first: "who still uses this pack" is a prefix of it.
  primary key (vault_id, pack_no, job_id, from_seq),
  foreign key (vault_id, pack_no) references packs (vault_id, pack_no),
  foreign key (org_id, job_id) references jobs (org_id, id)
);
-- One open interval for a (job, pack), found by job: what a commit closes.
create unique index pack_refs_open on pack_refs (vault_id, job_id, pack_no) where to_seq is null;
-- Intervals that ended, by job: what becomes free when old backups go.
create index pack_refs_ended on pack_refs (vault_id, job_id, to_seq) where to_seq is not null;

-- Pages of a commit that is not finished; the same page sent again is the same row.
create table commit_pages (
  backup_id uuid not null,
  page integer not null check (page >= 0),
  org_id uuid not null references organizations,
  body jsonb not null,
  created_at timestamptz not null default hf_now(),
  primary key (backup_id, page),
  foreign key (org_id, backup_id) references backups (org_id, id) on delete cascade
);

-- What happened to a backup, for the stream (`Last-Event-ID` is seq); and its log.
create table backup_events (
  backup_id uuid not null,
  seq bigint not null check (seq >= 1),
  org_id uuid not null references organizations,
  at timestamptz not null default hf_now(),
  type text not null,
  body jsonb not null default '{}',
  primary key (backup_id, seq),
  foreign key (org_id, backup_id) references backups (org_id, id) on delete cascade
);

create table backup_logs (
  backup_id uuid not null,
  seq bigint not null check (seq >= 1),
  org_id uuid not null references organizations,
  at timestamptz not null default hf_now(),
  level text not null check (level in ('debug', 'info', 'warn', 'error')),
  message text not null,
  fields jsonb not null default '{}',
  primary key (backup_id, seq),
  foreign key (org_id, backup_id) references backups (org_id, id) on delete cascade
);

-- The same key and body give the same answer for 24 h; the same key with another body is refused. The row is inserted
-- before the work starts: a second request with the key waits for, or finds, the first.
create table idempotency_keys (
  token_id uuid not null,
  key text not null check (length(key) between 1 and 255),
  org_id uuid not null references organizations,
  request_sha256 bytea not null check (octet_length(request_sha256) = 32),
  -- Null: the first request is still at work.
  status integer,
  response jsonb,
  created_at timestamptz not null default hf_now(),
  primary key (token_id, key),
  foreign key (org_id, token_id) references tokens (org_id, id) on delete cascade
);
-- Those older than 24 h are swept.
create index idempotency_keys_age on idempotency_keys (created_at);

create table audit_log (
  id uuid primary key,
  org_id uuid not null references organizations,
  at timestamptz not null default hf_now(),
  -- {name, user_id?, token_id?, server_id?}
  actor jsonb not null,
  action text not null,
  subject_type text,
  subject_id uuid,
  details jsonb not null default '{}',
  request_id text
);
-- Newest first, of the organization and of one subject.
create index audit_log_by_org on audit_log (org_id, at desc, id desc);
create index audit_log_by_subject on audit_log (subject_id, at desc) where subject_id is not null;
