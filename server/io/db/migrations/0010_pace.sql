-- How fast a run goes: pauses, limits, priority.

-- Since when a run is paused, and how much of its time is left for when it goes on; null where it had not begun.
alter table backups add column paused_at timestamptz;
alter table backups add column paused_left_ms bigint check (paused_left_ms >= 0);
alter table restores add column paused_at timestamptz;
alter table restores add column paused_left_ms bigint check (paused_left_ms >= 0);

-- A pause is part of what people see of the progress.
drop trigger backups_progress on backups;
create trigger backups_progress before update of status, progress, paused_at on backups
  for each row when (old.status is distinct from new.status or old.progress is distinct from new.progress
    or old.paused_at is distinct from new.paused_at)
  execute function hf_count_progress();

-- What somebody said of a server's settings, and when; defaults are the program's.
alter table servers add column settings jsonb not null default '{}';
alter table servers add column settings_at timestamptz;
