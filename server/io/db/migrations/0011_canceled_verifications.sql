-- A person may end a verification before it has come to its end, as a backup or a restore.

alter table verifications drop constraint verifications_status_check;
alter table verifications add constraint verifications_status_check
  check (status in ('pending', 'running', 'completed', 'failed', 'canceled'));
alter table verifications drop constraint verifications_check;
alter table verifications add constraint verifications_check
  check ((completed_at is not null) = (status in ('completed', 'failed', 'canceled')));
