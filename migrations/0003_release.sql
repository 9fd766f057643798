create table environment (
    id            uuid primary key,
    app_id        uuid not null references app (id) on delete cascade,
    branch_id     uuid not null references branch (id) on delete cascade,
    name          text not null,
    namespace     text not null unique,
    release_count int not null default 0,
    created_at    timestamptz not null default now(),
    unique (app_id, name)
);

create type release_state as enum ('queued', 'rolling', 'live', 'failed', 'superseded', 'replaced');

-- Immutable but for its state: what to run and, once rendered, the very objects that were applied.
create table release (
    id             uuid primary key,
    environment_id uuid not null references environment (id) on delete cascade,
    build_id       uuid not null unique references build (id) on delete cascade,
    version        int not null,
    image          text not null,
    port           int not null,
    health_path    text not null,
    state          release_state not null default 'queued',
    manifests      jsonb,
    reason         jsonb,
    created_at     timestamptz not null default now(),
    started_at     timestamptz,
    finished_at    timestamptz,
    unique (environment_id, version)
);
create unique index release_live on release (environment_id) where state = 'live';

-- Routers that run, and which pod of which release each of them has switched to.
create table router (
    id      text primary key,
    seen_at timestamptz not null default now()
);
create table answer (
    release_id uuid not null references release (id) on delete cascade,
    pod        text not null,
    router     text not null,
    at         timestamptz not null default now(),
    primary key (release_id, pod, router)
);
