-- Who may talk to Slipway. A token is shown once and stored as its SHA-256.
create table token (
    id           uuid primary key,
    name         text not null,
    hash         bytea not null unique,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz
);

-- A browser's login; the cookie's value is stored as its SHA-256.
create table session (
    hash       bytea primary key,
    token_id   uuid not null references token (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

-- An application: one repository on one forge, built and run from its branches.
create table app (
    id             uuid primary key,
    name           text not null unique,
    forge          text not null check (forge in ('gitea', 'gogs', 'github')),
    repo_url       text not null,
    forge_user     text,
    forge_token    text,
    api_url        text,
    default_branch text not null,
    dockerfile     text not null default 'Dockerfile',
    port           int not null default 8080 check (port between 1 and 65535),
    health_path    text not null default '/',
    build_count    int not null default 0,
    created_at     timestamptz not null default now()
);

-- Where a forge delivers to. Its forge kind is the application's, never what a delivery's headers claim.
create table hook (
    id         uuid primary key,
    app_id     uuid not null references app (id) on delete cascade,
    secret     text not null check (secret <> ''),
    created_at timestamptz not null default now()
);

-- Every delivery that arrived, with what was made of it. hook_id has no foreign key: an unknown hook is recorded too.
create table delivery (
    id           uuid primary key,
    hook_id      uuid not null,
    app_id       uuid references app (id) on delete cascade,
    delivery_key text,
    event        text,
    verdict      text not null check (verdict in ('accepted', 'duplicate', 'bad signature', 'ignored', 'too large', 'unknown hook')),
    why          text,
    ref          text,
    commit       text,
    body_sha256  bytea,
    body_bytes   bigint not null,
    received_at  timestamptz not null default now()
);
-- Only a verified delivery uses up its key, so a forged one cannot make the real one a duplicate.
create unique index delivery_once on delivery (hook_id, delivery_key) where verdict in ('accepted', 'ignored');
create index delivery_recent on delivery (app_id, received_at desc);
create index delivery_refused on delivery (received_at) where verdict not in ('accepted', 'ignored');
