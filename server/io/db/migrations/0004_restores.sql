-- Restores, which are runs like backups, and open requests: asking the holder of a customer's key to open packs.

-- Lock order: after the vault and the backup of 0001_start.sql, before packs; a server's row before its restores.
create table open_requests (
  id uuid primary key,
  org_id uuid not null references organizations,
  purpose text not null check (purpose in ('restore', 'download', 'verify')),
  backup_id uuid not null,
  vault_id uuid not null,
  -- The opener: the agent of a server, whoever holds a token, or the control plane itself (neither of both).
  server_id uuid,
  token_id uuid,
  opener_name text not null,
  -- X25519: what everything is sealed to.
  opener_key bytea not null check (octet_length(opener_key) = 32),
  -- Its secret half where the opener is the control plane; sealed for the purpose 'open_requests/<id>/opener'.
  sealed_opener_secret bytea,
  -- An agent's Ed25519 key of that time, and its signature over the request.
  signing_key bytea check (octet_length(signing_key) = 32),
  signature bytea check (octet_length(signature) = 64),
  -- The join counter of the connection on which the agent was last asked to sign.
  asked_link bigint,
  -- The first of what is wanted, to be shown: [{raw, glob}]; file_count 0 = everything.
  wanted jsonb not null default '[]',
  file_count integer not null default 0 check (file_count >= 0),
  pack_count bigint not null check (pack_count >= 0),
  -- Of the sorted numbers: shared/protocol/open-request.ts.
  packs_sha256 bytea not null check (octet_length(packs_sha256) = 32),
  -- For the purpose 'open-request/<id>/id-key'; nobody but the opener can read it.
  sealed_id_key bytea,
  requested_by jsonb not null,
  approved_by jsonb,
  created_at timestamptz not null default hf_now(),
  expires_at timestamptz not null,
  approved_at timestamptz,
  unique (org_id, id),
  foreign key (org_id, backup_id) references backups (org_id, id),
  foreign key (org_id, vault_id) references vaults (org_id, id),
  foreign key (org_id, server_id) references servers (org_id, id),
  foreign key (org_id, token_id) references tokens (org_id, id),
  check (server_id is null or token_id is null),
  check ((sealed_opener_secret is not null) = (server_id is null and token_id is null)),
  check ((server_id is not null) = (signing_key is not null)),
  check (approved_at is null or sealed_id_key is not null)
);
-- Lists, newest first: of the organization, of a backup.
create index open_requests_by_org on open_requests (org_id, created_at desc, id desc);
create index open_requests_by_backup on open_requests (backup_id, created_at desc, id desc);
-- Those that an agent has yet to sign: looked for whenever its server is connected.
create index open_requests_unsigned on open_requests (server_id)
  where signature is null and approved_at is null and server_id is not null;

-- The packs that are to be opened; the key is null until the approval, and only the opener can read it.
create table open_request_packs (
  request_id uuid not null,
  pack_no bigint not null check (pack_no > 0),
  org_id uuid not null references organizations,
  sealed_file_key bytea,
  -- Pages of a long list ascend by number.
  primary key (request_id, pack_no),
  foreign key (org_id, request_id) references open_requests (org_id, id) on delete cascade
);

create table restores (
  id uuid primary key,
  org_id uuid not null references organizations,
  backup_id uuid not null,
  -- The backup's: for lists, and for what else runs.
  job_id uuid not null,
  vault_id uuid not null,
  -- Where it restores to.
  server_id uuid not null,
  status text not null default 'pending'
    check (status in ('pending', 'running', 'completed', 'partial', 'failed', 'canceled')),
  triggered_by jsonb,
  -- The folder to restore into; empty: where everything was.
  target text not null default '',
  conflict text not null check (conflict in ('overwrite', 'skip', 'refuse')),
  -- Absolute paths that it writes at or below: no other restore of the server may touch them meanwhile.
  places text[] not null,
  -- What is wanted is in restore_selections; 0 = everything.
  file_count integer not null default 0 check (file_count >= 0),
  selection_pages integer not null default 0 check (selection_pages >= 0),
  -- Where only a customer's key opens the backup.
  open_request_id uuid,

  -- The run: the same columns, with the same meaning, as those of backups.
  lease_epoch bigint not null default 0 check (lease_epoch >= 0),
  lease_link bigint,
  lease_until timestamptz,
  accepted_at timestamptz,
  detached_at timestamptz,
  deadline timestamptz,
  cancel_requested_at timestamptz,
  -- Not before this; infinity while it waits for its open request to be approved.
  run_after timestamptz not null default hf_now(),
  -- The vault's gc_epoch at which it holds its floor: what its backup uses is not deleted meanwhile.
  gc_floor bigint not null,
  phase text,
  progress jsonb not null default '{}',
  progress_no bigint not null default 0,

  -- What the agent said at the end.
  error jsonb,
  counts jsonb not null default '{}',
  bytes_restored bigint check (bytes_restored >= 0),
  bytes_fetched bigint check (bytes_fetched >= 0),

  created_at timestamptz not null default hf_now(),
  started_at timestamptz,
  completed_at timestamptz,
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  foreign key (org_id, backup_id) references backups (org_id, id),
  foreign key (org_id, job_id) references jobs (org_id, id),
  foreign key (org_id, vault_id) references vaults (org_id, id),
  foreign key (org_id, server_id) references servers (org_id, id),
  foreign key (org_id, open_request_id) references open_requests (org_id, id),
  check ((completed_at is not null) = (status in ('completed', 'partial', 'failed', 'canceled'))),
  check ((file_count = 0) = (selection_pages = 0))
);
-- The dispatcher's oldest-first scan over what waits, and the scan over expired leases; both only over open runs.
create index restores_pending on restores (run_after) where status = 'pending';
create index restores_leased on restores (lease_until) where status = 'running';
-- What a server works on, at every heartbeat; what waits for it; and what another restore may not touch.
create index restores_open on restores (server_id) where status in ('pending', 'running');
-- One restore for an open request; and those whose request ran out while they wait.
create unique index restores_open_request on restores (open_request_id) where open_request_id is not null;
-- Lists, newest first, by everything that they can be filtered by. Those of a backup are also its operations.
create index restores_by_org on restores (org_id, created_at desc, id desc);
create index restores_by_status on restores (org_id, status, created_at desc, id desc);
create index restores_by_backup on restores (backup_id, created_at desc, id desc);
create index restores_by_job on restores (job_id, created_at desc, id desc);
create index restores_by_server on restores (server_id, created_at desc, id desc);

-- What is wanted, in the pages of `selection.given`: [{raw, glob}].
create table restore_selections (
  restore_id uuid not null,
  page integer not null check (page >= 0),
  org_id uuid not null references organizations,
  wanted jsonb not null,
  primary key (restore_id, page),
  foreign key (org_id, restore_id) references restores (org_id, id) on delete cascade
);

-- As those of backups.
create table restore_events (
  restore_id uuid not null,
  seq bigint not null check (seq >= 1),
  org_id uuid not null references organizations,
  at timestamptz not null default hf_now(),
  type text not null,
  body jsonb not null default '{}',
  primary key (restore_id, seq),
  foreign key (org_id, restore_id) references restores (org_id, id) on delete cascade
);

create table restore_logs (
  restore_id uuid not null,
  seq bigint not null check (seq >= 1),
  org_id uuid not null references organizations,
  at timestamptz not null default hf_now(),
  level text not null check (level in ('debug', 'info', 'warn', 'error')),
  message text not null,
  fields jsonb not null default '{}',
  primary key (restore_id, seq),
  foreign key (org_id, restore_id) references restores (org_id, id) on delete cascade
);
-- The lines from one level on, which is what most who read a long log want.
create index restore_logs_bad on restore_logs (restore_id, seq) where level in ('warn', 'error');

-- What is followed while it runs: the functions are those of 0003_events.sql.
create trigger restores_progress before update of status, progress on restores
  for each row when (old.status is distinct from new.status or old.progress is distinct from new.progress)
  execute function hf_count_progress();
create trigger restore_events_tell after insert on restore_events
  for each row execute function hf_tell('restore_id');
create trigger restore_logs_tell after insert on restore_logs
  for each row execute function hf_tell('restore_id');
