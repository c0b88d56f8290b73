-- Verification in four levels, resumable, and asked for by the storage itself.

alter table verifications drop constraint verifications_level_check;
alter table verifications add constraint verifications_level_check
  check (level in ('objects', 'sample', 'full', 'restore'));

-- How far it is and what it has found so far, kept with the claim: whoever takes it up goes on from there.
alter table verifications add column checkpoint jsonb;

-- For lists by storage: that of the vault.
alter table verifications add column storage_id uuid;
update verifications x set storage_id = v.storage_id from vaults v where v.id = x.vault_id;
alter table verifications alter column storage_id set not null;
alter table verifications add foreign key (org_id, storage_id) references storages (org_id, id);
create index verifications_by_storage on verifications (storage_id, created_at desc, id desc);

-- How, and how often, the newest backup of each job is verified by itself; null: never.
alter table storages add column verify_level text check (verify_level in ('objects', 'sample', 'full', 'restore'));
alter table storages add column verify_every_seconds bigint check (verify_every_seconds > 0);
alter table storages add check ((verify_level is null) = (verify_every_seconds is null));

-- When the newest backup of a job in a storage is verified next. Only for storages that verify by themselves.
create table verification_plans (
  storage_id uuid not null,
  job_id uuid not null,
  org_id uuid not null references organizations,
  due_at timestamptz not null,
  primary key (storage_id, job_id),
  foreign key (org_id, storage_id) references storages (org_id, id),
  foreign key (org_id, job_id) references jobs (org_id, id)
);
-- What is due, the oldest first.
create index verification_plans_due on verification_plans (due_at);

-- The first committed backup of a job plans for it, however it comes to be one.
create function hf_plan_verification() returns trigger language plpgsql as $$
begin
  insert into verification_plans (storage_id, job_id, org_id, due_at)
  select v.storage_id, new.job_id, new.org_id, hf_now()
  from vaults v join storages s on s.id = v.storage_id
  where v.id = new.vault_id and s.verify_level is not null
  on conflict do nothing;
  return null;
end $$;
create trigger backups_plan_verification after insert or update of status on backups
  for each row when (new.status in ('completed', 'partial')) execute function hf_plan_verification();
