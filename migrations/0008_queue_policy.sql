-- Whose turn it is. Builders are shared by teams, a team's share by its applications, each by its weight.
create table team (
    name        text primary key,
    weight      int not null default 1 check (weight between 1 and 1000),
    -- Builds of it that run at one time; null: as many as there are builders.
    build_limit int check (build_limit between 1 and 1000),
    -- Virtual time: what it has had, by weight; where its last turn began; and the same of its applications.
    served      float8 not null default 0,
    began       float8 not null default 0,
    clock       float8 not null default 0,
    served_at   timestamptz not null default now(),
    created_at  timestamptz not null default now()
);
insert into team (name) values ('default');

-- An application's place in the round: only claims move it, and no push ever waits for its row.
create table turn (
    app_id      uuid primary key references app (id) on delete cascade,
    team        text not null default 'default' references team (name),
    weight      int not null default 1 check (weight between 1 and 1000),
    build_limit int not null default 1 check (build_limit between 1 and 1000),
    served      float8 not null default 0,
    served_at   timestamptz not null default now(),
    -- The most urgent priority that waits; null: nothing does. Kept by the trigger below and by claim_job.
    waits       smallint
);
create index turn_next on turn (team, waits, served, served_at) where waits is not null;
-- Each claim leaves a dead entry at the head of that index.
alter table turn set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
insert into turn (app_id) select id from app;

-- What becomes of a branch's builds when a newer commit arrives.
alter table branch add column build_policy text not null default 'newest'
    check (build_policy in ('newest', 'every', 'finish-running'));

-- Superseded builds are found from both sides.
create index build_superseded_by on build (superseded_by) where superseded_by is not null;

-- The application whose turn a job needs, and which of its seats it has while it runs: at most build_limit of them.
-- Null: jobs that are taken as they come. Of a lock, the oldest that waits is taken first.
alter table job
    add column app_id   uuid references turn (app_id) on delete cascade,
    -- 0: somebody waits for it. 1: a rebuild, for which nobody does.
    add column priority smallint not null default 0 check (priority between 0 and 1),
    add column seat     int;
delete from job where kind = 'build' and not exists (select from build where build.id = job.subject);
update job set app_id = build.app_id from build where job.kind = 'build' and build.id = job.subject;
-- One lock per branch from now on; what runs keeps the application's single seat.
update job set lock_key = build.branch_id::text, seat = case job.state when 'running' then 1 end
    from build where job.kind = 'build' and build.id = job.subject and job.state in ('queued', 'running');
alter table job add constraint turn_iff_build check ((app_id is not null) = (kind = 'build'));
alter table job add constraint seat_iff_running check ((seat is not null) = (state = 'running' and app_id is not null));
-- Claims ask for these by their key alone; an index of few rows has many dead entries, and none may stand in for another.
create unique index job_seat_running on job (app_id, seat) where seat is not null;
drop index job_lease;
drop index job_ready;
create index job_ready on job (kind, run_at, id) where state = 'queued' and app_id is null;
create index job_turn on job (app_id, priority, run_at, id) where state = 'queued' and app_id is not null;
create index job_lock_queued on job (kind, lock_key, id) where state = 'queued';
create index job_subject_queued on job (subject) where state = 'queued';
update turn set waits = 0 where app_id in (select app_id from job where state = 'queued');

-- Whoever queues a job of an application, by whatever statement, says that the application waits.
-- The lock is shared: pushes do not wait for each other, and claim_job ends the waiting only while nobody holds it.
create function wake_turn() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('turn/' || new.app_id, 0));
    update turn set waits = least(waits, new.priority)
        where app_id = new.app_id and waits is distinct from least(waits, new.priority);
    return null;
end
$$;
create trigger job_wakes_turn after insert or update of state, priority on job
    for each row when (new.state = 'queued' and new.app_id is not null) execute function wake_turn();

-- Says anew what of the application waits, unless somebody is queuing something of it just now.
create function settle_turn(settled uuid) returns void language plpgsql as $$
begin
    -- Two statements: the second sees whatever was queued before the lock was free.
    if pg_try_advisory_xact_lock(hashtextextended('turn/' || settled, 0)) then
        update turn set waits = head.priority
            from (select (select priority from job where app_id = settled and state = 'queued' order by priority limit 1)) head
            where app_id = settled and waits is distinct from head.priority;
    end if;
end
$$;

-- The build whose turn it is: by priority, then the team that had least, then its application that had least, then age.
-- Teams and applications at their limit are passed over, and so are those in `passed`.
create function next_build(passed uuid[])
returns table (
    job_id bigint, priority smallint, turn_of uuid, team_of text, seats int, served float8, clock float8, round float8
)
language sql stable as $$
    select c.id, c.priority, c.app_id, g.name, c.build_limit, c.served, g.clock, (select max(began) from team)
    from (
        select name, served, served_at, clock, urgency from team g, generate_series(0, 1) urgency
        where build_limit is null or build_limit > (
            select count(*) from job r join turn t on t.app_id = r.app_id where r.seat is not null and t.team = g.name)
        order by urgency, served, served_at
    ) g
    cross join lateral (
        select q.id, q.priority, t.app_id, t.build_limit, t.served
        from turn t
        cross join lateral (
            select w.id, w.priority from job w
            where w.app_id = t.app_id and w.state = 'queued' and w.run_at <= now()
              and (select r.id from job r
                   where r.kind = w.kind and r.lock_key = w.lock_key and r.state = 'running') is null
              and (select o.id from job o
                   where o.kind = w.kind and o.lock_key = w.lock_key and o.state = 'queued' order by o.id limit 1) = w.id
            order by w.priority, w.run_at, w.id limit 1
        ) q
        where t.team = g.name and t.waits = g.urgency and t.app_id <> all (passed)
          and (select count(*) from job r where r.app_id = t.app_id and r.seat is not null) < t.build_limit
        order by t.served, t.served_at
        limit 1
    ) c
    order by g.urgency, g.served, g.served_at
    limit 1
$$;

-- Takes the build whose turn it is, or nothing. One claim at a time: each sees what the one before it took, so limits and
-- turns hold exactly. They do not wait for each other's disk: a claim that PostgreSQL forgets in a crash was never made,
-- its lease is unknown, and whoever has it can write nothing. Whatever else is written later flushes it too.
create function claim_build(owner text, ttl interval) returns setof job language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_bitmapscan = off as $$
declare
    picked record;
    passed uuid[] := '{}';
begin
    perform set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(hashtextextended('claim/build', 0));
    loop
        select * into picked from next_build(passed);
        exit when not found;
        -- A push that replaces it, or its cancellation, is not waited for: another application is next meanwhile.
        return query update job set state = 'running', attempt = attempt + 1, cancel = false,
                lease = gen_random_uuid(), lease_owner = owner, lease_until = now() + ttl,
                seat = (select free from generate_series(1, picked.seats) free
                        where (select r.id from job r where r.app_id = picked.turn_of and r.seat = free) is null
                        order by free limit 1)
            from (select w.id from job w where w.id = picked.job_id and w.state = 'queued' for update skip locked) held
            where job.id = held.id returning job.*;
        if found then
            -- Who was away for long is not owed what it did not ask for: a turn begins where the round is, at the earliest.
            with app_moved as (
                update turn set served = greatest(served, picked.clock) + 1.0 / weight, served_at = clock_timestamp()
                    where app_id = picked.turn_of
            )
            update team set began = greatest(served, picked.round), served = greatest(served, picked.round) + 1.0 / weight,
                    clock = greatest(clock, picked.served), served_at = clock_timestamp()
                where name = picked.team_of;
            if not exists (select from job w where w.app_id = picked.turn_of and w.state = 'queued'
                           and w.priority = picked.priority) then
                perform settle_turn(picked.turn_of);
            end if;
            exit;
        end if;
        passed := passed || picked.turn_of;
    end loop;
end
$$;
