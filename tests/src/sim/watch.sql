-- Watches every write for what may never be, not even for a moment, and writes it down.
create table violation (what text not null);
-- Releases and the environments they are in may be removed; that they were made is kept here.
create table released (build_id uuid not null);

create function watch_job() returns trigger language plpgsql as $$
declare
    most int;
begin
    if new.state = 'running' and old.state = 'running' and new.lease <> old.lease then
        insert into violation values (format('job %s changed its holder while its lease was live', new.id));
    end if;
    if old.finished_at is not null and new.state <> old.state and new.state <> 'queued' then
        insert into violation values (format('job %s ended as %s and then became %s', new.id, old.state, new.state));
    end if;
    if new.state = 'running' and old.state = 'queued' and new.app_id is not null then
        select build_limit into most from turn where app_id = new.app_id;
        if (select count(*) from job where app_id = new.app_id and state = 'running') > most then
            insert into violation values (format('job %s runs beyond the limit of its application', new.id));
        end if;
        select g.build_limit into most from team g join turn t on t.team = g.name where t.app_id = new.app_id;
        if (select count(*) from job join turn using (app_id) where state = 'running') > most then
            insert into violation values (format('job %s runs beyond the limit of its team', new.id));
        end if;
        if (select count(*) from job where kind = new.kind and lock_key = new.lock_key and state = 'running') > 1 then
            insert into violation values (format('job %s runs beside another one of its lock', new.id));
        end if;
    end if;
    return null;
end
$$;
create trigger watch after update on job for each row execute function watch_job();

create function watch_build() returns trigger language plpgsql as $$
begin
    if old.finished_at is not null and new.state <> old.state then
        insert into violation values (format('build %s ended as %s and then as %s', new.number, old.state, new.state));
    end if;
    if new.finished_at is not null and new.cancelled_at is not null and old.cancelled_at is not null and new.state <> 'cancelled' then
        insert into violation values (format('build %s was asked to stop and ended as %s', new.number, new.state));
    end if;
    return null;
end
$$;
create trigger watch after update on build for each row execute function watch_build();

create function watch_release() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into released values (new.build_id);
    elsif old.finished_at is not null and new.state <> old.state and (old.state, new.state) <> ('live', 'replaced') then
        insert into violation values (format('release %s ended as %s and then as %s', new.version, old.state, new.state));
    elsif new.state = 'live' and old.state <> 'live' and exists (
        select from build this join build newer on newer.branch_id = this.branch_id and newer.number > this.number
        join release r on r.build_id = newer.id and r.environment_id = new.environment_id and r.state in ('live', 'replaced')
        where this.id = new.build_id
    ) then
        insert into violation values (format('release %s is live over one of a newer commit', new.version));
    end if;
    return null;
end
$$;
create trigger watch after insert or update on release for each row execute function watch_release();
