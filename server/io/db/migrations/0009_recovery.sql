-- A catalog that was rebuilt from a bucket: shared/decisions/0014-recovery-into-an-empty-catalog.md.

-- The chain of signers after the genesis, in order, base64url each: [{key, bytes}].
alter table vaults add column signers jsonb not null default '[]';
-- Not every record in the bucket could be read: nothing is deleted, for it may be needed.
alter table vaults add column unread_at timestamptz;

-- Of trees and records that are sealed to a list recipient which nobody has any more: their file keys, sealed under the master
-- key for the purpose 'vaults/<vault>/file_key/<object key>'.
alter table packs add column sealed_file_key bytea;
alter table backups add column record_sealed_file_key bytea;

-- Null: found in the bucket by a recovery.
alter table vault_objects alter column granted_by drop not null;
