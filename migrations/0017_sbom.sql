-- What is in an image: an SPDX document, made some time after its build by whichever builder has the time. A row says that
-- one is wanted; it goes when the registry has the image no more.
create table sbom (
    app_id     uuid not null references app (id) on delete cascade,
    digest     text not null,
    created_at timestamptz not null default now(),
    -- Tries that were begun. One that killed its builder is among them, so that none kills builders for ever.
    attempt    int not null default 0,
    -- When the next try may begin; from then on whoever had begun one is taken for dead. None: it is made, or given up.
    due_at     timestamptz default now() + interval '20 seconds',
    -- What went wrong with the last one.
    fault      text,
    -- JSON, compressed with zstd.
    document   bytea,
    primary key (app_id, digest),
    constraint document_is_the_end check (document is null or (due_at is null and fault is null))
);
create index sbom_due on sbom (due_at) where due_at is not null;

insert into sbom (app_id, digest, created_at)
select app_id, digest, min(created_at) from image where garbage_at is null group by app_id, digest;
