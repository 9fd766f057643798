-- What a branch was when it was last resolved on the forge. The generation moves by compare-and-set, so A -> B -> A builds again.
create table branch (
    id          uuid primary key,
    app_id      uuid not null references app (id) on delete cascade,
    name        text not null,
    commit      text,
    generation  int not null default 0,
    resolved_at timestamptz,
    unique (app_id, name)
);

create table push (
    id         uuid primary key,
    branch_id  uuid not null references branch (id) on delete cascade,
    generation int not null,
    commit     text not null,
    created_at timestamptz not null default now(),
    unique (branch_id, generation)
);

create type build_state as enum ('queued', 'running', 'succeeded', 'failed', 'superseded', 'cancelled');

create table build (
    id            uuid primary key,
    app_id        uuid not null references app (id) on delete cascade,
    branch_id     uuid not null references branch (id) on delete cascade,
    push_id       uuid not null references push (id) on delete cascade,
    number        int not null,
    branch        text not null,
    commit        text not null,
    subject       text,
    author        text,
    state         build_state not null default 'queued',
    attempt       int not null default 0,
    reason        jsonb,
    superseded_by uuid references build (id),
    digest        text,
    created_at    timestamptz not null default now(),
    started_at    timestamptz,
    finished_at   timestamptz,
    unique (app_id, number),
    constraint finished_iff_final check ((state in ('queued', 'running')) = (finished_at is null))
);
create index build_branch on build (branch_id, created_at desc);

-- The steps of one attempt, numbered over all attempts of the build.
create table step (
    build_id     uuid not null references build (id) on delete cascade,
    number       int not null,
    attempt      int not null,
    name         text not null,
    cached       boolean not null default false,
    error        text,
    started_at   timestamptz,
    completed_at timestamptz,
    primary key (build_id, number)
);

-- The log, append-only: lines joined by a line feed, all of one step (0: of the build itself).
create table log_chunk (
    build_id   uuid not null references build (id) on delete cascade,
    first_line bigint not null,
    line_count int not null check (line_count > 0),
    step       int not null,
    at         timestamptz not null default now(),
    body       text not null,
    primary key (build_id, first_line)
);

create table image (
    id         uuid primary key,
    app_id     uuid not null references app (id) on delete cascade,
    build_id   uuid not null unique references build (id) on delete cascade,
    repository text not null,
    digest     text not null,
    size_bytes bigint not null,
    created_at timestamptz not null default now()
);
