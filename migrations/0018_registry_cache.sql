-- Caches of builds in the registry, for a BuildKit that built little of an application itself. A row stays until the
-- registry has forgotten its manifest; the one of an application that is not garbage is imported.
create table registry_cache (
    id         uuid primary key,
    -- Nothing: the application is gone, and so shall this.
    app_id     uuid references app (id) on delete set null,
    repository text not null,
    digest     text not null,
    -- A hash of what the build was made from.
    input      bytea not null,
    layers     jsonb not null,
    created_at timestamptz not null default now(),
    -- A newer one took its place.
    garbage_at timestamptz,
    unique (repository, digest)
);
create unique index registry_cache_newest on registry_cache (app_id) where garbage_at is null;

-- When a builder last set out to export the cache of an application.
create table cache_turn (
    app_id   uuid primary key references app (id) on delete cascade,
    taken_at timestamptz not null
);

-- What each BuildKit built of an application. It is known by the id that it gives its own disk: with that it loses both.
create table worker_build (
    app_id   uuid not null references app (id) on delete cascade,
    worker   text not null,
    builds   int not null,
    built_at timestamptz not null default now(),
    primary key (app_id, worker)
);
create index worker_build_of on worker_build (worker);
