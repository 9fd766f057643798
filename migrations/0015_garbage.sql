-- Since when nothing needs an image: from then on no build uses it again. And since when the registry has it no more.
alter table image
    add column garbage_at timestamptz,
    add column removed_at timestamptz,
    add constraint removed_needs_garbage check (removed_at is null or garbage_at is not null);
create index image_digest on image (digest);
create index image_kept on image (app_id, created_at) where garbage_at is null;
create index image_garbage on image (garbage_at) where garbage_at is not null and removed_at is null;

-- What each look for garbage found and did. Kept for as long as the page of numbers looks back.
create table sweep (
    id            bigint generated always as identity primary key,
    kind          text not null check (kind in ('images', 'mirrors', 'caches', 'logs')),
    -- Whose disk it is: a builder's or a BuildKit's; empty for what there is once.
    holder        text not null,
    at            timestamptz not null default now(),
    -- By which it went, in words.
    rule          text not null,
    kept_count    bigint not null,
    kept_bytes    bigint not null,
    -- Garbage that is still there.
    left_count    bigint not null default 0,
    left_bytes    bigint not null default 0,
    removed_count bigint not null default 0,
    removed_bytes bigint not null default 0,
    -- What it could not do.
    fault         text
);
create index sweep_newest on sweep (kind, holder, at desc);
