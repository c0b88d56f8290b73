-- Work of the control plane itself on committed backups: downloads that it prepares, verifications. Each row is also the
-- claim of the replica that works on it, so that a crash is taken up by another one.

-- Lock order: after the backup of 0001_start.sql; a download before its objects.
create table downloads (
  id uuid primary key,
  org_id uuid not null references organizations,
  backup_id uuid not null,
  vault_id uuid not null,
  storage_id uuid not null,
  name text not null check (name <> ''),
  -- pending -> ready | failed; ready -> expired.
  status text not null default 'pending' check (status in ('pending', 'ready', 'failed', 'expired')),
  -- [{raw, glob}]; none = everything.
  wanted jsonb not null default '[]',
  open_request_id uuid,
  -- Seconds that it lives once it is ready.
  expires_in integer not null check (expires_in between 60 and 604800),
  requested_by jsonb not null,
  -- The vault's gc_epoch at which it holds its floor: what its backup uses is not deleted meanwhile.
  gc_floor bigint not null,

  -- The claim: the epoch rises with every one, and every statement of the work says `where lease_epoch = $epoch`.
  lease_epoch bigint not null default 0 check (lease_epoch >= 0),
  lease_until timestamptz,
  attempt integer not null default 0 check (attempt >= 0),
  -- Back-off: not before this.
  run_after timestamptz not null default hf_now(),
  progress jsonb not null default '{}',
  progress_no bigint not null default 0,
  -- Of the last attempt; the reason when it has failed.
  error jsonb,

  -- Its objects go from here on; null while it is pending.
  remove_after timestamptz,
  removed_at timestamptz,
  -- Removed by a person: nobody sees it any more.
  deleted_at timestamptz,
  created_at timestamptz not null default hf_now(),
  started_at timestamptz,
  ready_at timestamptz,
  expires_at timestamptz,
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  foreign key (org_id, backup_id) references backups (org_id, id),
  foreign key (org_id, vault_id) references vaults (org_id, id),
  foreign key (org_id, storage_id) references storages (org_id, id),
  foreign key (org_id, open_request_id) references open_requests (org_id, id),
  check ((status in ('ready', 'expired')) <= (ready_at is not null and expires_at is not null)),
  check ((status <> 'pending') <= (remove_after is not null))
);
-- What waits, or was left behind by a replica that is gone; and what is to be removed from its storage.
create index downloads_waiting on downloads (run_after) where status = 'pending' and deleted_at is null;
create index downloads_leaving on downloads (remove_after) where removed_at is null and remove_after is not null;
-- Rows whose time is over are forgotten.
create index downloads_gone on downloads (removed_at) where removed_at is not null;
create index downloads_by_backup on downloads (backup_id, created_at desc, id desc);

-- What a download has in the storage. The name is noted before anything is written under it, and every attempt takes a
-- fresh one, so that whatever a crash leaves behind can be found and removed.
create table download_objects (
  download_id uuid not null,
  object_key text not null,
  org_id uuid not null references organizations,
  -- Its place among the objects of the download.
  no integer not null check (no >= 0),
  -- The file name that it is handed out under.
  name text not null,
  -- Raw bytes of the file's or folder's path; null: everything.
  path bytea,
  -- Null until it is stored.
  size bigint check (size > 0),
  created_at timestamptz not null default hf_now(),
  primary key (download_id, object_key),
  foreign key (org_id, download_id) references downloads (org_id, id) on delete cascade
);
create unique index download_objects_stored on download_objects (download_id, no) where size is not null;

create table download_events (
  download_id uuid not null,
  seq bigint not null check (seq >= 1),
  org_id uuid not null references organizations,
  at timestamptz not null default hf_now(),
  type text not null,
  body jsonb not null default '{}',
  primary key (download_id, seq),
  foreign key (org_id, download_id) references downloads (org_id, id) on delete cascade
);

create table verifications (
  id uuid primary key,
  org_id uuid not null references organizations,
  backup_id uuid not null,
  vault_id uuid not null,
  level text not null check (level in ('restore')),
  status text not null default 'pending' check (status in ('pending', 'running', 'completed', 'failed')),
  -- It waits until this is approved.
  open_request_id uuid,
  requested_by jsonb not null,
  gc_floor bigint not null,

  -- The claim, as that of a download.
  lease_epoch bigint not null default 0 check (lease_epoch >= 0),
  lease_until timestamptz,
  attempt integer not null default 0 check (attempt >= 0),
  run_after timestamptz not null default hf_now(),
  progress jsonb not null default '{}',
  progress_no bigint not null default 0,
  error jsonb,

  -- What it found: {status, objects, bytes, files, problem_count, problems: [{path, code, problem}]}.
  result jsonb,
  created_at timestamptz not null default hf_now(),
  started_at timestamptz,
  completed_at timestamptz,
  updated_at timestamptz not null default hf_now(),
  unique (org_id, id),
  foreign key (org_id, backup_id) references backups (org_id, id),
  foreign key (org_id, vault_id) references vaults (org_id, id),
  foreign key (org_id, open_request_id) references open_requests (org_id, id),
  check ((completed_at is not null) = (status in ('completed', 'failed'))),
  check ((result is not null) = (status = 'completed'))
);
-- One at a time for a backup and level: whoever asks for another gets this one.
create unique index verifications_open on verifications (backup_id, level) where status in ('pending', 'running');
create index verifications_waiting on verifications (run_after) where status in ('pending', 'running');
create index verifications_by_backup on verifications (backup_id, created_at desc, id desc);

create table verification_events (
  verification_id uuid not null,
  seq bigint not null check (seq >= 1),
  org_id uuid not null references organizations,
  at timestamptz not null default hf_now(),
  type text not null,
  body jsonb not null default '{}',
  primary key (verification_id, seq),
  foreign key (org_id, verification_id) references verifications (org_id, id) on delete cascade
);

-- What is followed while it runs: the functions are those of 0003_events.sql.
create trigger downloads_progress before update of status, progress on downloads
  for each row when (old.status is distinct from new.status or old.progress is distinct from new.progress)
  execute function hf_count_progress();
create trigger download_events_tell after insert on download_events
  for each row execute function hf_tell('download_id');
create trigger verifications_progress before update of status, progress on verifications
  for each row when (old.status is distinct from new.status or old.progress is distinct from new.progress)
  execute function hf_count_progress();
create trigger verification_events_tell after insert on verification_events
  for each row execute function hf_tell('verification_id');
