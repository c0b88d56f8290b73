-- Deleting without reading: shared/decisions/0012-deletion-behind-one-gate.md.

-- Marked by deleted_at; from here on its record and its share of the intervals are gone, and nothing brings it back.
alter table backups add column purged_at timestamptz;
alter table backups add constraint backups_purged_after check (purged_at is null or deleted_at is not null);
create index backups_marked on backups (vault_id, deleted_at) where deleted_at is not null and purged_at is null;
-- Open runs of a vault: their floors, and what they build upon.
create index backups_in_vault on backups (vault_id) where status in ('pending', 'running');

-- The most bytes that an interval which is gone used of it: how much of it is still used is a share of that.
alter table packs add column most_live bigint not null default 0 check (most_live >= 0);
create index packs_condemned_now on packs (vault_id, pack_no) where state = 'condemned';
create index packs_granted_now on packs (vault_id, pack_no) where state = 'granted';
create index packs_retired_now on packs (vault_id, pack_no) where state = 'stored' and retired_epoch is not null;

-- Objects that the store is to remove: written in the transaction that takes their row away, gone when the store has done
-- it. No key is ever handed out twice, so that removing one again does no harm.
create table removals (
  vault_id uuid not null,
  object_key text not null,
  org_id uuid not null references organizations,
  size bigint not null check (size >= 0),
  noted_at timestamptz not null default hf_now(),
  primary key (vault_id, object_key),
  foreign key (org_id, vault_id) references vaults (org_id, id)
);

-- One row a vault, with the vault's id: the claim of the replica that collects what nothing needs. Columns of a claim as in
-- 0005_downloads.sql.
create table collections (
  id uuid primary key,
  org_id uuid not null references organizations,
  status text not null default 'waiting' check (status in ('waiting', 'working')),
  lease_epoch bigint not null default 0 check (lease_epoch >= 0),
  lease_until timestamptz,
  attempt integer not null default 0 check (attempt >= 0),
  run_after timestamptz not null default hf_now(),
  -- Somebody deleted something, or asked for a collection: not before this has one seen it.
  asked_at timestamptz,
  progress jsonb not null default '{}',
  -- Of the last attempt, when it failed.
  error jsonb,
  -- Of the last one that came to its end: {condemned, retired, deleted, bytes, removed}.
  result jsonb not null default '{}',
  -- Objects that no row knows, as of listed_at: reported, never deleted. The first keys of them.
  unknown_objects bigint not null default 0 check (unknown_objects >= 0),
  unknown_keys text[] not null default '{}',
  listed_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default hf_now(),
  foreign key (org_id, id) references vaults (org_id, id) on delete cascade
);
create index collections_due on collections (run_after);

insert into collections (id, org_id) select id, org_id from vaults;

create function hf_collect_vault() returns trigger language plpgsql as $$
begin
  -- There is nothing in it yet.
  insert into collections (id, org_id, run_after) values (new.id, new.org_id, hf_now() + interval '1 hour');
  return null;
end $$;
create trigger vaults_collected after insert on vaults for each row execute function hf_collect_vault();

-- Floors: what is open in a vault. Those of backups: backups_in_vault.
create index restores_in_vault on restores (vault_id) where status in ('pending', 'running');
create index downloads_in_vault on downloads (vault_id) where status = 'pending' and deleted_at is null;
create index verifications_in_vault on verifications (vault_id) where status in ('pending', 'running');
