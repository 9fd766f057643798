-- The log store. One row for each build that has a log, and its lines in compressed chunks, in a partition for each day:
-- that on which the build was created, so that the chunks of one build lie in one partition, and a day's logs are
-- forgotten by dropping a table.
create table build_log (
    build_id      uuid primary key references build (id) on delete cascade,
    day           date not null,
    line_count    bigint not null default 0,
    -- Of the lines with their line feeds, and of what is stored of them.
    byte_count    bigint not null default 0,
    stored_bytes  bigint not null default 0,
    -- Beyond the limit.
    dropped_lines bigint not null default 0,
    dropped_bytes bigint not null default 0,
    -- The object that holds the log, its size, and the size of the index at its end.
    object        text,
    object_bytes  bigint,
    index_bytes   bigint,
    -- Since when it is forgotten.
    expired_at    timestamptz,
    constraint object_is_whole check ((object is null) = (object_bytes is null) and (object is null) = (index_bytes is null))
);
create index build_log_day on build_log (day);
create index build_log_here on build_log (build_id) where object is null and expired_at is null;

alter table log_chunk rename to log_chunk_as_text;
alter table log_chunk_as_text rename constraint log_chunk_pkey to log_chunk_as_text_pkey;

-- No foreign key: a day could not be dropped without a lock on all builds. Who may write a chunk writes the build's row
-- in build_log first, which has one.
create table log_chunk (
    day        date not null,
    build_id   uuid not null,
    first_line bigint not null,
    line_count int not null check (line_count > 0),
    -- 0: of the build itself.
    step       int not null,
    -- Its first line goes on with the last line of its step.
    continues  boolean not null default false,
    at         timestamptz not null default now(),
    -- Before it was compressed.
    byte_count int not null,
    -- Lines, each ended by a line feed; a zstd frame, but for those that were there before this table.
    is_plain   boolean not null default false,
    body       bytea not null,
    primary key (day, build_id, first_line)
) partition by range (day);
-- It is compressed already.
alter table log_chunk alter column body set storage external;

-- Without `create table .. partition of`, which would stop every reader and writer of the parent.
create function log_add_day(added date) returns void language plpgsql as $$
declare
    name text := 'log_chunk_' || to_char(added, 'YYYYMMDD');
begin
    if to_regclass(name) is null then
        perform pg_advisory_xact_lock(hashtextextended('log_add_day', 0));
        if to_regclass(name) is null then
            execute format('create table %I (like log_chunk including all)', name);
            execute format('alter table log_chunk attach partition %I for values from (%L) to (%L)', name, added, added + 1);
        end if;
    end if;
end
$$;

create function log_drop_day(dropped date) returns void language plpgsql as $$
begin
    execute format('drop table if exists %I', 'log_chunk_' || to_char(dropped, 'YYYYMMDD'));
end
$$;

create view log_day as
    select to_date(right(part.relname, 8), 'YYYYMMDD') as day
    from pg_inherits join pg_class part on part.oid = inhrelid
    where inhparent = 'log_chunk'::regclass;

insert into build_log (build_id, day, line_count, byte_count, stored_bytes)
    select build.id, (created_at at time zone 'utc')::date, max(first_line + line_count),
        sum(octet_length(body) + 1), sum(octet_length(body) + 1)
    from log_chunk_as_text join build on build.id = build_id
    group by build.id;

select log_add_day(day) from (select distinct day from build_log) as days;

insert into log_chunk (day, build_id, first_line, line_count, step, at, byte_count, is_plain, body)
    select day, build_id, first_line, old.line_count, step, at, octet_length(body) + 1, true,
        convert_to(body || e'\n', 'UTF8')
    from log_chunk_as_text as old join build_log using (build_id);

drop table log_chunk_as_text;

-- The steps whose results a step needs: with the times, they make the critical path.
alter table step add column inputs int[] not null default '{}';
