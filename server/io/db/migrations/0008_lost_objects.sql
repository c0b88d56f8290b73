-- Objects that the store does not have any more: shared/decisions/0013-what-the-bucket-does-not-have.md.

-- When the pack was found missing. Its state is *deleted*, so that nothing new counts on it; but readers still try it, and it is
-- stored again where its object is back (the bucket was another one for a while). Nothing is removed from the store for it.
alter table packs add column lost_at timestamptz;
alter table packs add constraint packs_lost_is_deleted check (lost_at is null or state = 'deleted');
create index packs_lost on packs (vault_id, pack_no) where lost_at is not null;

-- When a signer or secret of the vault was found missing: the next run writes both again, as they were.
alter table vaults add column unwritten_at timestamptz;

-- When the record was found missing: it is not looked for again by every run.
alter table backups add column record_lost_at timestamptz;
