create type job_state as enum ('queued', 'running', 'done', 'failed', 'superseded', 'cancelled');

-- The queue. A job says "look at this subject again"; it carries no other input.
-- A lane (a branch, an environment) holds at most one queued job, the newest; a lock (an application's build) at most one running.
create table job (
    id          bigint generated always as identity primary key,
    kind        text not null,
    lane        text not null,
    lock_key    text not null,
    subject     uuid not null,
    state       job_state not null default 'queued',
    run_at      timestamptz not null default now(),
    attempt     int not null default 0,
    attempt_max int not null default 4,
    cancel      boolean not null default false,
    lease       uuid,
    lease_owner text,
    lease_until timestamptz,
    error       text,
    created_at  timestamptz not null default now(),
    finished_at timestamptz,
    constraint lease_iff_running check ((state = 'running') = (lease is not null)),
    constraint finished_iff_final check ((state in ('queued', 'running')) = (finished_at is null))
);
create unique index job_lane_queued on job (kind, lane) where state = 'queued';
create unique index job_lock_running on job (kind, lock_key) where state = 'running';
create index job_ready on job (kind, run_at, id) where state = 'queued';
create index job_lease on job (lease_until) where state = 'running';
create index job_finished on job (finished_at) where finished_at is not null;
