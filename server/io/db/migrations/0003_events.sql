-- What is followed while it runs (server/flow/follow.ts).

-- Rises whenever the progress that people see says something else: a reader knows by it which one it has.
alter table backups add column progress_no bigint not null default 0;

create function hf_count_progress() returns trigger language plpgsql as $$
begin
  new.progress_no := old.progress_no + 1;
  return new;
end $$;

create trigger backups_progress before update of status, progress on backups
  for each row when (old.status is distinct from new.status or old.progress is distinct from new.progress)
  execute function hf_count_progress();

-- Tells every process, at the commit, what has a new event or line; the argument is the column with its id. Several in
-- one transaction are one notification.
create function hf_tell() returns trigger language plpgsql as $$
begin
  perform pg_notify('hf_news', to_jsonb(new) ->> tg_argv[0]);
  return null;
end $$;

create trigger backup_events_tell after insert on backup_events
  for each row execute function hf_tell('backup_id');
create trigger backup_logs_tell after insert on backup_logs
  for each row execute function hf_tell('backup_id');

-- The lines from one level on, which is what most who read a long log want.
create index backup_logs_bad on backup_logs (backup_id, seq) where level in ('warn', 'error');
