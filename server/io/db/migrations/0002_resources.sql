-- Resources that can be changed and removed, and the lists of backups by everything that they can be filtered by.

-- Rows that are removed stay, because what happened with them stays: only their names are free again.
alter table projects add column deleted_at timestamptz;
alter table projects drop constraint projects_org_id_name_key;
create unique index projects_name on projects (org_id, name) where deleted_at is null;

-- `revoked_at`: the agent's key is worthless; another enrolment makes it null again. `deleted_at`: the machine is gone.
alter table servers add column deleted_at timestamptz;
drop index servers_name;
create unique index servers_name on servers (org_id, name) where deleted_at is null;
create index servers_by_org on servers (org_id, created_at desc, id desc) where deleted_at is null;
create index servers_by_project on servers (project_id) where deleted_at is null;

-- Its credentials are wiped with it.
alter table storages add column deleted_at timestamptz;
alter table storages drop constraint storages_org_id_name_key;
create unique index storages_name on storages (org_id, name) where deleted_at is null;

-- Its identity is wiped with it: nothing was ever encrypted to a key that may be removed.
alter table encryption_keys add column deleted_at timestamptz;
alter table encryption_keys drop constraint encryption_keys_org_id_name_key;
create unique index encryption_keys_name on encryption_keys (org_id, name) where deleted_at is null;
alter table encryption_keys drop constraint encryption_keys_check;
alter table encryption_keys add constraint encryption_keys_identity
  check ((type = 'managed' and deleted_at is null) = (sealed_identity is not null));

create index tokens_by_org on tokens (org_id, created_at desc, id desc) where revoked_at is null;
create index tokens_by_project on tokens (project_id) where revoked_at is null and project_id is not null;
create index jobs_by_org on jobs (org_id, created_at desc, id desc) where deleted_at is null;

-- What stands in the way of removing a storage or a key.
create index jobs_by_storage on jobs (storage_id) where deleted_at is null;
create index jobs_by_key on jobs (encryption_key_id) where deleted_at is null;
create index vaults_by_storage on vaults (storage_id);
create index vaults_by_key on vaults (encryption_key_id);

-- A version says all that a job was, so that an older one can be run as it was.
alter table job_versions add column name text;
alter table job_versions add column storage_id uuid;
alter table job_versions add column encryption_key_id uuid;
alter table job_versions add column external_id text;
update job_versions v set name = j.name, storage_id = j.storage_id, encryption_key_id = j.encryption_key_id,
  external_id = j.external_id from jobs j where j.id = v.job_id;
alter table job_versions alter column name set not null;
alter table job_versions alter column storage_id set not null;
alter table job_versions alter column encryption_key_id set not null;
alter table job_versions add foreign key (org_id, storage_id) references storages (org_id, id);
alter table job_versions add foreign key (org_id, encryption_key_id) references encryption_keys (org_id, id);

-- A word of whoever started it, for the lists.
alter table backups add column label text;
alter table backups add constraint backups_tags
  check (tags <@ array['manual', 'hourly', 'daily', 'weekly', 'monthly', 'yearly']);

-- Every filter and every order of the lists of backups. All of them end with the order of the default, newest first.
create index backups_by_version on backups (job_id, job_version, created_at desc, id desc) where deleted_at is null;
create index backups_by_status on backups (org_id, status, created_at desc, id desc) where deleted_at is null;
create index backups_by_trigger on backups (org_id, trigger, created_at desc, id desc) where deleted_at is null;
create index backups_by_tag on backups using gin (tags);
create index backups_by_start on backups (org_id, started_at desc, id desc)
  where deleted_at is null and started_at is not null;
-- Of the whole table, as the statistics of an expression count only where its index is not partial.
create index backups_by_end on backups (org_id, (coalesce(completed_at, 'infinity'::timestamptz)) desc, id desc);
create index backups_by_name on backups (org_id, name, id) where deleted_at is null;
create index backups_in_status on backups (org_id, status, id) where deleted_at is null;
create index backups_by_size on backups (org_id, (coalesce(bytes_source, 0)), id);
-- Parts of words, wherever they stand. The extension is part of every PostgreSQL and may be created by the database's owner.
create extension if not exists pg_trgm;
create index backups_by_words on backups using gin ((name || ' ' || description) gin_trgm_ops);

-- The answer may hold a token that is shown once: it is sealed under the master key for the purpose
-- 'idempotency_keys/<token>/<key>'. Who works on the first request holds a lease, so that a crash locks nothing for ever.
alter table idempotency_keys drop column response;
alter table idempotency_keys add column sealed_response bytea;
alter table idempotency_keys add column holder uuid;
alter table idempotency_keys add column lease_until timestamptz;
alter table idempotency_keys add constraint idempotency_keys_answered
  check ((status is null) = (sealed_response is null));
