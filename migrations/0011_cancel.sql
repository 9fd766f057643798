-- Who asked a build to stop, and when; nobody is named where its branch or environment went. From then on it ends as
-- cancelled, whatever its builder still makes of it.
alter table build
    add column cancelled_by text,
    add column cancelled_at timestamptz,
    add constraint cancelled_by_needs_at check (cancelled_by is null or cancelled_at is not null);
-- For the numbers of the last day.
create index build_finished on build (finished_at) where finished_at is not null;

-- Its trace was sent to a collector.
alter table build add column traced_at timestamptz;

-- The digest that is deployed is a manifest's. What is attested of it hangs on an index over it, which the tag names.
alter table image add column index_digest text;

-- How an image was made, as BuildKit attests it beside the image: a SLSA provenance predicate.
create table provenance (
    build_id  uuid primary key references build (id) on delete cascade,
    predicate jsonb not null
);
-- The images that a build began from, with the digest that each name had then.
create table build_base (
    build_id uuid not null references build (id) on delete cascade,
    name     text not null,
    digest   text not null,
    primary key (build_id, name, digest)
);
create index build_base_digest on build_base (digest);
